//! Bundles for tools: everything that vouched for servers before, and our CA. Never our CA alone: hosts without a
//! session are tunnelled, and the tool itself verifies them.

use std::{collections::HashSet, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;

/// Reads the certificates of a file, or of the files of a folder; `None` if there are none.
pub(super) fn read(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let found = if path.is_dir() {
        rustls_native_certs::load_certs_from_paths(None, Some(path))
    } else {
        rustls_native_certs::load_certs_from_paths(Some(path), None)
    };
    Some(found.certs).filter(|certs| !certs.is_empty())
}

/// Returns the certificates and ours behind them, once each.
pub(super) fn merged<'c>(
    base: &'c [CertificateDer<'static>],
    ca: &'c CertificateDer<'static>,
) -> Vec<&'c CertificateDer<'static>> {
    let mut seen = HashSet::new();
    let all = base.iter().chain([ca]);
    all.filter(|certificate| seen.insert(*certificate))
        .collect()
}

/// Writes certificates as PEM (RFC 7468).
pub(super) fn pem(certificates: &[&CertificateDer<'static>]) -> String {
    let mut out = String::new();
    for certificate in certificates {
        let text = STANDARD.encode(certificate);
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            // Base64 is ASCII.
            let (line, after) = rest.split_at(rest.len().min(64));
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::pki_types::pem::PemObject as _;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let certs: Vec<CertificateDer<'static>> =
            (1..200).map(|n| CertificateDer::from(vec![7; n])).collect();
        let text = pem(&certs.iter().collect::<Vec<_>>());
        let read: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read, certs);
        assert!(text.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn ours_is_there_once() {
        let (a, ca) = (CertificateDer::from(vec![1]), CertificateDer::from(vec![2]));
        let base = [a.clone(), ca.clone(), a.clone()];
        assert_eq!(merged(&base, &ca), [&a, &ca]);
        assert_eq!(merged(&[], &ca), [&ca]);
    }

    #[test]
    fn files_and_folders_are_read() {
        let folder = TempDir::new().unwrap();
        let (file, none) = (folder.path().join("a.pem"), folder.path().join("none"));
        let certificate = CertificateDer::from(vec![1, 2, 3]);
        fs::write(&file, pem(&[&certificate])).unwrap();
        for path in [&file, folder.path()] {
            assert_eq!(read(path).unwrap(), std::slice::from_ref(&certificate));
        }
        fs::write(&none, "nothing").unwrap();
        assert_eq!(read(&none), None);
        assert_eq!(read(&folder.path().join("missing")), None);
    }
}
