//! The channel binding `tls-server-end-point` (RFC 5929, section 4.1): a hash of the server's certificate,
//! by the hash function of the certificate's own signature, or SHA-256 in place of MD5 and SHA-1.

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

/// The channel binding data for a certificate in DER encoding. `None` when it is not a certificate, or its signature
/// algorithm has no single hash function (Ed25519): then channel binding must not be offered.
pub fn digest(certificate: &[u8]) -> Option<Vec<u8>> {
    let function = signature_hash(certificate)?;
    Some(match function {
        Function::Sha224 => Sha224::digest(certificate).to_vec(),
        Function::Sha256 => Sha256::digest(certificate).to_vec(),
        Function::Sha384 => Sha384::digest(certificate).to_vec(),
        Function::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0] EXPLICIT`: the hash function among the parameters of RSASSA-PSS.
const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.1 (PKCS #1), without its last number.
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4 (ECDSA signatures), without its last numbers.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// 2.16.840.1.101.3.4.2 (NIST hash functions), without its last number.
const NIST_HASH: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }` (RFC 5280, section 4.1).
fn signature_hash(certificate: &[u8]) -> Option<Function> {
    let (certificate, after) = element(certificate, SEQUENCE)?;
    if !after.is_empty() {
        return None;
    }
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (oid, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    if let Some(last) = oid.strip_prefix(PKCS1) {
        return match last {
            [4 | 5 | 11] => Some(Function::Sha256),
            [12] => Some(Function::Sha384),
            [13] => Some(Function::Sha512),
            [14] => Some(Function::Sha224),
            [10] => pss_hash(parameters),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Function::Sha256),
        [3, 1] => Some(Function::Sha224),
        [3, 3] => Some(Function::Sha384),
        [3, 4] => Some(Function::Sha512),
        _ => None,
    }
}

/// The hash function of RSASSA-PSS is among its parameters (RFC 4055); the default is SHA-1.
fn pss_hash(parameters: &[u8]) -> Option<Function> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    if parameters.first() != Some(&CONTEXT_0) {
        return Some(Function::Sha256);
    }
    let (explicit, _) = element(parameters, CONTEXT_0)?;
    let (algorithm, _) = element(explicit, SEQUENCE)?;
    let (oid, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    match oid.strip_prefix(NIST_HASH)? {
        [1] => Some(Function::Sha256),
        [2] => Some(Function::Sha384),
        [3] => Some(Function::Sha512),
        [4] => Some(Function::Sha224),
        _ => None,
    }
}

/// Takes one DER element of this type off `der`: (its content, what follows it).
fn element(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    if tag != expected {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&n, rest)| (usize::from(n), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(n, rest)| (usize::from(u16::from_be_bytes(*n)), rest))?,
        0x83 => rest.split_first_chunk::<3>().and_then(|(&[a, b, c], rest)| {
            let length = u32::from_be_bytes([0, a, b, c]);
            usize::try_from(length).ok().map(|length| (length, rest))
        })?,
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match u8::try_from(content.len()) {
            Ok(short @ 0..=0x7f) => out.push(short),
            Ok(one) => out.extend([0x81, one]),
            Err(_) => {
                out.push(0x82);
                out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        out.extend_from_slice(content);
        out
    }

    fn certificate(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
        let body = der(SEQUENCE, &[7; 300]);
        let algorithm = der(
            SEQUENCE,
            &[der(OBJECT_IDENTIFIER, oid), parameters.to_vec()].concat(),
        );
        let signature = der(0x03, &[0, 1, 2, 3]);
        der(SEQUENCE, &[body, algorithm, signature].concat())
    }

    fn oid(prefix: &[u8], last: &[u8]) -> Vec<u8> {
        [prefix, last].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (oid, length) in [
            (oid(PKCS1, &[5]), 32),
            (oid(PKCS1, &[11]), 32),
            (oid(PKCS1, &[12]), 48),
            (oid(PKCS1, &[13]), 64),
            (oid(ECDSA, &[3, 2]), 32),
            (oid(ECDSA, &[3, 4]), 64),
        ] {
            assert_eq!(
                digest(&certificate(&oid, &[5, 0])).unwrap().len(),
                length,
                "{oid:x?}"
            );
        }
        let sha256 = certificate(&oid(ECDSA, &[3, 2]), &[]);
        assert_eq!(digest(&sha256).unwrap(), Sha256::digest(&sha256).to_vec());
    }

    #[test]
    fn pss_names_its_hash_in_the_parameters() {
        let hash = der(SEQUENCE, &der(OBJECT_IDENTIFIER, &oid(NIST_HASH, &[3])));
        let sha512 = der(SEQUENCE, &der(CONTEXT_0, &hash));
        assert_eq!(
            digest(&certificate(&oid(PKCS1, &[10]), &sha512)).unwrap().len(),
            64
        );
        let default = der(SEQUENCE, &[]);
        assert_eq!(
            digest(&certificate(&oid(PKCS1, &[10]), &default)).unwrap().len(),
            32
        );
    }

    #[test]
    fn no_hash_for_ed25519_and_for_what_is_no_certificate() {
        assert_eq!(digest(&certificate(&[0x2b, 0x65, 0x70], &[])), None);
        let whole = certificate(&oid(ECDSA, &[3, 2]), &[]);
        assert_eq!(digest(&[whole.clone(), vec![0]].concat()), None);
        for cut in 0..whole.len() {
            assert_eq!(digest(&whole[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            // Behind a valid outer header, so that the inner ones are reached as well.
            let _ = digest(&bytes);
            let _ = digest(&der(SEQUENCE, &bytes));
        }
    }
}
