//! What the transport allows, with units.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Limits of connections and requests, and the price of a credit. Plain data: the configuration checks the ranges before
/// the port is bound.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Connections open at once, at most; one more is answered 503 and closed. Default 4,096, range 1 to 1,000,000.
    pub max_connections: usize,
    /// Connections open at once from one address, at most; one more is answered 503 and closed. Loopback and
    /// `trusted_proxies` are not counted. Default 256, range 1 to 1,000,000.
    pub max_connections_per_address: usize,
    /// Addresses behind which many callers stand. Default none.
    pub trusted_proxies: Vec<Network>,
    /// Time for a request line with its headers, from its first byte (of a new connection: from the connection), until
    /// the connection is closed. Default 5 s, range 1 ms to 10 min.
    pub header_timeout: Duration,
    /// Time without a request, or with an answer that the caller does not read, until the connection is closed.
    /// Default 60 s, range 1 ms to 1 h.
    pub idle_timeout: Duration,
    /// Bytes of a request line with its headers, at most; beyond it 431. Default 16 KiB, range 8 KiB to 1 MiB.
    pub max_header_bytes: usize,
    /// Headers of a request, at most; beyond it 431. Default 64, range 1 to 1,024.
    pub max_headers: usize,
    /// Bytes of a URL's path and query, at most; beyond it 414. Default 8 KiB, range 256 to 64 KiB.
    pub max_url_bytes: usize,
    /// Time that a caller may let the server wait for a body before `min_body_bytes_per_second` holds. Default 5 s,
    /// range 1 ms to 10 min.
    pub body_patience: Duration,
    /// Bytes of a body that each further second of waiting must bring. Default 1,024, range 1 to 1 GiB.
    pub min_body_bytes_per_second: u32,
    /// Bytes of a management request's JSON body, at most. Default 64 KiB, range 1 KiB to 16 MiB.
    pub max_json_bytes: u64,
    /// Time between "not ready" and the end of accepting, for load balancers to notice. Default 0 s, range 0 to 10 min.
    pub drain_delay: Duration,
    /// Time for requests under way once the server stops, until they are cut off. Default 30 s, range 0 to 1 h.
    pub drain_grace: Duration,
    /// What a credit costs, in US dollars, where costs are shown. Default 0.01, range 0 to 1,000,000.
    pub usd_per_credit: f64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_connections_per_address: 256,
            trusted_proxies: Vec::new(),
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_header_bytes: 16 << 10,
            max_headers: 64,
            max_url_bytes: 8 << 10,
            body_patience: Duration::from_secs(5),
            min_body_bytes_per_second: 1_024,
            max_json_bytes: 64 << 10,
            drain_delay: Duration::ZERO,
            drain_grace: Duration::from_secs(30),
            usd_per_credit: 0.01,
        }
    }
}

/// A range of addresses, as in `10.0.0.0/8`; without `/bits` it is one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
    v6: bool,
    bits: u8,
}

impl Network {
    /// Whether `address` lies in the range. An IPv4 address that came as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (value, v6) = value(address.to_canonical());
        v6 == self.v6 && value & self.mask == self.base
    }
}

fn value(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), false),
        IpAddr::V6(address) => (address.to_bits(), true),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "`{}` is no address and no range such as 10.0.0.0/8",
                text.escape_debug()
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| fault())?)),
            None => (text, None),
        };
        let (value, v6) = value(
            address
                .parse::<IpAddr>()
                .map_err(|_| fault())?
                .to_canonical(),
        );
        let width: u8 = if v6 { 128 } else { 32 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(fault());
        }
        let all = if v6 { u128::MAX } else { u128::from(u32::MAX) };
        let mask = all & all.checked_shl(u32::from(width - bits)).unwrap_or(0);
        if value & !mask != 0 {
            return Err(format!("`{text}` has bits set beyond its first {bits}"));
        }
        Ok(Self {
            base: value,
            mask,
            v6,
            bits,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = if self.v6 {
            IpAddr::from(self.base.to_be_bytes())
        } else {
            // `base` of an IPv4 range has no bits beyond the low 32.
            IpAddr::from((self.base as u32).to_be_bytes())
        };
        write!(f, "{address}/{}", self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_of_its_range() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::a00:1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8:1::1", true),
        ];
        for (network, address, expected) in cases {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                expected,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn a_network_shows_what_it_was_read_from() {
        for text in ["10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "host",
            "10.0.0.0/",
            "::/129",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
