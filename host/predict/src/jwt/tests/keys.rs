//! Keys for these tests and for nothing else: made with `openssl genpkey`, and known to everyone who reads this.

/// 2048 bits.
pub(super) const RSA_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCwj48x5NGsJrG6
6B39S6/whTuLuzETvSnO54s7xSf62rRQ+DmmOKHu5xBmjgNk6+BnKz6UGdBZtEci
CAvFGCdsTkIgxWTfpPsi2als2e1vO46exS0se82zO/l7kYsImI5YvDFJjbophbzV
WaXgSleX2ZjCyHrw24/FK+OiKyrDwJyxXhyn4kCa5O+BCxZlIU6Srn1VjGT0MvhF
YhN04j3yFQ1H7/KqpQMzBGCKcTuAuujFSRfFtfm98IM/arSk3OCEXJ16fvOsRqEh
65AOl8ks/8LcLM91xMq2XxmGavTkxhCniUvgq099WJ9ZGHOtAcPmdWsmn0twVTX+
cLnp6QQBAgMBAAECggEAFqdngfPa5pc/u6cXs03NoR3p130TssrVJ/Ez6giFyjKF
61Owyz/ooHIbpm+h8NuGUJvPAjVTszF7OlsaQ4Dct2aie85H/0gNrwQ1hbwVMm32
V9nIeN+Ds55w3XwoVi3Y1HraahZvZJopHJ4i4eXir5728kXDPHniIbQxbLfUMLHP
EyHqgFdAqthLMSi4swoPdxTy4LRuJ8aMdvFPOV+O/p5aoGI5nPBziPQB7X+G3b1j
a7dLyYIStTceAV1FRlJZpaHtX+7n/Y6grPL4DLYSr1yTUwsq/P7uKBuGUc5L0SmM
8PWYxqIHNTBFySlfxcEDUX1nQShtRQpCcWVIarWdZwKBgQDpWlhMBqn8ai0F8ufP
mJkp8N5H6hx2nqPma8q5mj2c6RGqqoqiByeKUGFe0tClaAeJks7g5mBSWA6i0wbs
mYJ2M6W4eIrY+VP2pw7PIzrxrDDwiw7d0Q602C5xkA7EMxvgKmt7ppWXCGXYcu38
SNXbUGtP4UHaja7EXSbGHLFNWwKBgQDBsjaksjHgvxtkgrLQpGnoJTPuB0q46eRT
jxS1v9QQqd1T3hbN/M5p9d2znh8cgnIioBR5kkeRH9XqX8cJDMzxMZPzEm+By1SB
pZn+n85/hswm6ufswdgAK5QmXykhr7ChWZ4NZHQxk9RZSW3oRPKIxzcdqf4h8dIU
vsWyyxxm0wKBgBfGOZq9TxJFawLhJZbz8B7iyHLBOlcngIFYWBYizcYvxLoDmA47
9l5UJCd6CQHhIGt2xpcJQaUCDbOvFlSCq1UJnAe4WEUU2eYWTR7zcuzuYyoOsNwO
kZYBNHIjgC2jG2LyT3MQnMr/cwjjZLXAYfFvNw+zXnc62iRtbSbgA3xjAoGAcw14
h7uRBP5/NuSrcmM2xT3T6r9KEyxbA4cptguL25oKbZat1Q0lTqtMVTTHJhgV05ti
jhPljr5qQh1CDI4d7eaVCv0YXvB38cp7/lLORdG70iIWQPujYfaAuYos1GWXdT/W
Mf5JRmmY6LBFKIJLzhMHGgevfFo3fzsSE3GyHSECgYEAk6dMLan1R7X9CH9juKLh
hBEb9CnR6I9aBwy3hVqTaohkTDX01xDg5v5MnurIjf3vFA23N/LU4IGadjUjr8lH
0xkIQYLI/U264AgUFYro6VdYftyL8+BMhngIDBX1m3+ddCachdOeuGZSyK2NKvjV
6buhelBGsuf4sa2vJ/GJoiA=
-----END PRIVATE KEY-----
";

/// The public half of [`RSA_PRIVATE`].
pub(super) const RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsI+PMeTRrCaxuugd/Uuv
8IU7i7sxE70pzueLO8Un+tq0UPg5pjih7ucQZo4DZOvgZys+lBnQWbRHIggLxRgn
bE5CIMVk36T7ItmpbNntbzuOnsUtLHvNszv5e5GLCJiOWLwxSY26KYW81Vml4EpX
l9mYwsh68NuPxSvjoisqw8CcsV4cp+JAmuTvgQsWZSFOkq59VYxk9DL4RWITdOI9
8hUNR+/yqqUDMwRginE7gLroxUkXxbX5vfCDP2q0pNzghFyden7zrEahIeuQDpfJ
LP/C3CzPdcTKtl8Zhmr05MYQp4lL4KtPfVifWRhzrQHD5nVrJp9LcFU1/nC56ekE
AQIDAQAB
-----END PUBLIC KEY-----
";

/// Its modulus; the exponent is 65537.
pub(super) const RSA_MODULUS: &str = "\
    sI-PMeTRrCaxuugd_Uuv8IU7i7sxE70pzueLO8Un-tq0UPg5pjih7ucQZo4DZOvgZys-lBnQWbRHIggLxRgnbE5CIMVk36T7\
    ItmpbNntbzuOnsUtLHvNszv5e5GLCJiOWLwxSY26KYW81Vml4EpXl9mYwsh68NuPxSvjoisqw8CcsV4cp-JAmuTvgQsWZSFO\
    kq59VYxk9DL4RWITdOI98hUNR-_yqqUDMwRginE7gLroxUkXxbX5vfCDP2q0pNzghFyden7zrEahIeuQDpfJLP_C3CzPdcTK\
    tl8Zhmr05MYQp4lL4KtPfVifWRhzrQHD5nVrJp9LcFU1_nC56ekEAQ";

/// 1024 bits.
pub(super) const WEAK_RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCb1MizwJGnVSHr5NsFAAYH66zt
KDHaybM0cM43n+V2/OMRlRoPnJh33f98zMDDuKybLyTH9fBOuHfvC2vCUFjCmTgl
yAD2bwZwbmwuzJViY6z0v4eO2Mi3p1/6RJpQgbP1FM9tHo6akkDPlRx6Tkuf0ZpJ
TALPo5os/Ub9WjjQxwIDAQAB
-----END PUBLIC KEY-----
";

/// Its modulus.
pub(super) const WEAK_RSA_MODULUS: &str = "\
    m9TIs8CRp1Uh6-TbBQAGB-us7Sgx2smzNHDON5_ldvzjEZUaD5yYd93_fMzAw7ismy8kx_XwTrh37wtrwlBYwpk4JcgA9m8G\
    cG5sLsyVYmOs9L-HjtjIt6df-kSaUIGz9RTPbR6OmpJAz5Ucek5Ln9GaSUwCz6OaLP1G_Vo40Mc";

/// On P-256.
pub(super) const EC_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAL6ejYLgRhiFHRqi
t8iIHaci0kcEbkg0Brjbj4gCd1+hRANCAARuEPRXmcgsGas2pCVJP2xznNFftPrr
zhqH0h5NSukGcr9osDPDGlnPK6gQlU41XFP+qB+LvpLJy+hsgvtgtv5/
-----END PRIVATE KEY-----
";

/// The public half of [`EC_PRIVATE`].
pub(super) const EC_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbhD0V5nILBmrNqQlST9sc5zRX7T6
684ah9IeTUrpBnK/aLAzwxpZzyuoEJVONVxT/qgfi76SycvobIL7YLb+fw==
-----END PUBLIC KEY-----
";

/// Its point, the first half.
pub(super) const EC_X: &str = "bhD0V5nILBmrNqQlST9sc5zRX7T6684ah9IeTUrpBnI";

/// Its point, the second half.
pub(super) const EC_Y: &str = "v2iwM8MaWc8rqBCVTjVcU_6oH4u-ksnL6GyC-2C2_n8";

/// On P-256 too.
pub(super) const OTHER_EC_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgl75CU5ydWjgIKEed
fWUrhKj/dM3lzUokpFTbtVAkE3ihRANCAATsDQ6p4Ypgo/06Kk11MUAHux33Buke
CyzFHQTfrZnnspuw12ZaOsB013Z8sXAhpu2W/7FbpBvUpUqfNCF/QBmL
-----END PRIVATE KEY-----
";

/// Its point, the first half.
pub(super) const OTHER_EC_X: &str = "7A0OqeGKYKP9OipNdTFAB7sd9wbpHgssxR0E362Z57I";

/// Its point, the second half.
pub(super) const OTHER_EC_Y: &str = "m7DXZlo6wHTXdnyxcCGm7Zb_sVukG9SlSp80IX9AGYs";

/// On P-384.
pub(super) const P384_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEzpSipo3SEAs+8fq81R4EI3Fwq8G+tbmy
tCjj5dFqz+u5M8eN9tXLI4BzgQWF/53Kown53cDqf0lLJe830B2nFnG4E9d+ySXG
ozQ6eEcxadedvVumuomTCfaUibI6aVkf
-----END PUBLIC KEY-----
";

/// Its point, the first half.
pub(super) const P384_X: &str = "zpSipo3SEAs-8fq81R4EI3Fwq8G-tbmytCjj5dFqz-u5M8eN9tXLI4BzgQWF_53K";

/// Its point, the second half.
pub(super) const P384_Y: &str = "own53cDqf0lLJe830B2nFnG4E9d-ySXGozQ6eEcxadedvVumuomTCfaUibI6aVkf";

/// On Ed25519.
pub(super) const ED_PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICQpkP8W8gElzBUz98Tdd8Nj1Z9rSGy9fxnLeVh3QTYY
-----END PRIVATE KEY-----
";

/// The public half of [`ED_PRIVATE`].
pub(super) const ED_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAA6oasSaHYl+sNaUgsZnM+cJ5O0XqvpiHgrVYK0woSC0=
-----END PUBLIC KEY-----
";

/// Its point.
pub(super) const ED_X: &str = "A6oasSaHYl-sNaUgsZnM-cJ5O0XqvpiHgrVYK0woSC0";
