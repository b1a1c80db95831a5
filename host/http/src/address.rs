//! Where a request comes from: the address of its connection, or, where that is a proxy that is trusted, the one that
//! the proxy saw.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Extensions, HeaderMap};

use crate::{Network, Peer};

/// What proxies append the address of their caller to.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Debug, Clone)]
pub(crate) struct Proxies(Arc<[Network]>);

impl Proxies {
    pub(crate) fn new(trusted: &[Network]) -> Self {
        Self(trusted.into())
    }

    /// Where a request comes from. Everybody may write `X-Forwarded-For`: it is read from its end, as far as those
    /// who wrote there are trusted, and the first who is not is the caller.
    pub(crate) fn origin(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let mut address = extensions.get::<Peer>()?.0.ip();
        if !self.are_trusted(address) {
            return Some(address);
        }
        let mut seen = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(hop)
            .collect::<Vec<_>>();
        while self.are_trusted(address) {
            match seen.pop() {
                Some(Some(hop)) => address = hop,
                Some(None) | None => break,
            }
        }
        Some(address)
    }

    fn are_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// An address as proxies write it, with its port or without.
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_believed_as_far_as_its_writers_are() {
        let proxies = Proxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let cases = [
            ("9.9.9.9", "", "9.9.9.9"),
            // Who is no proxy cannot say that it is somebody else.
            ("9.9.9.9", "1.2.3.4", "9.9.9.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
            // What stands before the first who is not trusted was written by that one.
            ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
            ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
            ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ];
        for (peer, forwarded, expected) in cases {
            let mut extensions = Extensions::new();
            extensions.insert(Peer((peer.parse::<IpAddr>().unwrap(), 1).into()));
            let mut headers = HeaderMap::new();
            if !forwarded.is_empty() {
                headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
            }
            let found = proxies.origin(&extensions, &headers);
            assert_eq!(found, Some(expected.parse().unwrap()), "{peer} {forwarded}");
        }
        let nobody = proxies.origin(&Extensions::new(), &HeaderMap::new());
        assert_eq!(nobody, None);
    }
}
