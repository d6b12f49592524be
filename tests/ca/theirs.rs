//! Keys of every kind and form, names of several parts, and a CA below another.

use std::{fs, os::unix::fs::PermissionsExt as _, time::SystemTime};

use staysigned::ca::{Error, Root};
use tempfile::TempDir;

use super::{NAME, chain, leaf, open, succeeds};

#[test]
fn a_users_own_ca_works_whatever_its_key() {
    // Two `DC` parts: a name that only its own bytes repeat faithfully.
    const SUBJECT: &str = "/DC=com/DC=example/O=Example/CN=Issuing CA";
    let kinds: [(&str, &[&str]); 5] = [
        (
            "RSA, PKCS#8",
            &[
                "genpkey",
                "-algorithm",
                "rsa",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ],
        ),
        ("RSA, PKCS#1", &["genrsa", "-traditional"]),
        (
            "P-256, SEC1",
            &["ecparam", "-name", "prime256v1", "-genkey"],
        ),
        (
            "P-384, SEC1",
            &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
        ),
        (
            "P-384, PKCS#8",
            &[
                "genpkey",
                "-algorithm",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-384",
            ],
        ),
    ];
    for (kind, args) in kinds {
        let folder = TempDir::new().unwrap();
        let (key, pem) = (folder.path().join("ca.key"), folder.path().join("ca.pem"));
        let (key, pem) = (key.to_str().unwrap(), pem.to_str().unwrap());
        succeeds("openssl", &[args, &["-out", key]].concat());
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        let request = [
            "req", "-x509", "-new", "-key", key, "-out", pem, "-days", "3", "-subj", SUBJECT,
        ];
        let usage = ["-addext", "keyUsage=critical,keyCertSign"];
        succeeds("openssl", &[&request[..], &usage].concat());
        let ca = open(folder.path(), None).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(ca.root().name(), "Issuing CA");
        let leaf = leaf(&ca, folder.path(), NAME);
        let leaf = leaf.to_str().unwrap();
        succeeds("openssl", &["verify", "-x509_strict", "-CAfile", pem, leaf]);
        // Three days are left to the CA, so the leaf has three days too.
        let end = |path| succeeds("openssl", &["x509", "-in", path, "-noout", "-enddate"]);
        assert_eq!(end(leaf), end(pem), "{kind}");
        let renewed = Root::renew(folder.path(), None, SystemTime::now());
        assert!(matches!(renewed, Err(Error::Foreign(_))), "{kind}");
    }
}

#[test]
fn a_subordinate_ca_is_sent_along() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (root_key, root, key, request, pem) = (
        at("root.key"),
        at("root.pem"),
        at("ca.key"),
        at("ca.csr"),
        at("ca.pem"),
    );
    let new = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let top = [
        "-x509",
        "-keyout",
        &root_key,
        "-out",
        &root,
        "-subj",
        "/CN=Top",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ];
    succeeds("openssl", &[&new[..], &top].concat());
    succeeds(
        "openssl",
        &[
            &new[..],
            &["-keyout", &key, "-out", &request, "-subj", "/CN=Sub"],
        ]
        .concat(),
    );
    fs::write(at("ext"), "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n").unwrap();
    let sign = [
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &root,
        "-CAkey",
        &root_key,
        "-CAcreateserial",
    ];
    succeeds(
        "openssl",
        &[&sign[..], &["-extfile", &at("ext"), "-out", &pem]].concat(),
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // The root may follow it in the file, and is not sent.
    let both = format!(
        "{}{}",
        fs::read_to_string(&pem).unwrap(),
        fs::read_to_string(&root).unwrap()
    );
    fs::write(&pem, both).unwrap();
    let ca = open(folder.path(), None).unwrap();
    let sent = chain(&ca, NAME);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1], ca.root().der().to_vec());
    let leaf = leaf(&ca, folder.path(), NAME);
    let verify = [
        "verify",
        "-x509_strict",
        "-CAfile",
        &root,
        "-untrusted",
        &pem,
    ];
    succeeds(
        "openssl",
        &[&verify[..], &[leaf.to_str().unwrap()]].concat(),
    );
}
