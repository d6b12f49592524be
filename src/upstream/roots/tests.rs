//! Roots from every place, with our own CA in each of them.

use tempfile::TempDir;

use super::*;

struct Made {
    der: CertificateDer<'static>,
    pem: String,
}

fn made(name: &str) -> Made {
    let key = rcgen::KeyPair::generate().unwrap();
    with_key(name, &key)
}

fn with_key(name: &str, key: &rcgen::KeyPair) -> Made {
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(key).unwrap();
    Made {
        der: certificate.der().clone(),
        pem: certificate.pem(),
    }
}

fn file(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn extra_roots_are_added_to_the_systems() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (made("a"), made("b"));
    let text = format!("# two\n{}\nand\n{}", a.pem, b.pem.replace('\n', "\r\n"));
    let extra = [file(&folder, "extra.pem", &text)];
    let without = Roots::load(&Params::default()).unwrap();
    let with = Roots::load(&Params {
        extra: &extra,
        whole: true,
        ..Params::default()
    })
    .unwrap();
    assert!(without.store.len() > 50, "the system's or Mozilla's roots");
    assert_eq!(with.store.len(), without.store.len() + 2);
    assert_eq!(with.store.len(), with.certificates.len());
    assert!(with.certificates.contains(&a.der) && with.certificates.contains(&b.der));
    assert!(without.certificates.is_empty());
}

#[test]
fn what_the_environment_names_replaces_the_systems() {
    let folder = TempDir::new().unwrap();
    let roots = folder.path().join("roots");
    fs::create_dir(&roots).unwrap();
    let (a, b) = (made("a"), made("b"));
    let inherited = Inherited {
        file: Some(file(&folder, "a.pem", &a.pem)),
        folders: vec![roots.clone(), folder.path().join("not there")],
    };
    fs::write(roots.join("b.pem"), format!("{}{}", a.pem, b.pem)).unwrap();
    fs::write(roots.join("c.pem"), &b.pem).unwrap();
    let loaded = Roots::load(&Params {
        inherited,
        whole: true,
        ..Params::default()
    })
    .unwrap();
    assert_eq!(loaded.certificates, [a.der, b.der]);
    assert!(matches!(&loaded.warnings[..], [Warning::Unread(what)] if what.contains("not there")));
}

#[test]
fn our_own_ca_is_no_root_wherever_it_stands() {
    let folder = TempDir::new().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let (own, again, other) = (
        with_key("ours", &key),
        with_key("again", &key),
        made("other"),
    );
    for ours in [&own, &again] {
        let text = format!("{}{}", other.pem, ours.pem);
        let path = file(&folder, "bundle.pem", &text);
        let line = other.pem.lines().count() + 1;
        let inherited = Inherited {
            file: Some(path.clone()),
            folders: vec![],
        };
        let extra = [path.clone()];
        let loaded = Roots::load(&Params {
            inherited: inherited.clone(),
            extra: &extra,
            own: std::slice::from_ref(&own.der),
            whole: true,
        })
        .unwrap();
        assert!(loaded.store.len() > 50, "the system's roots");
        assert!(loaded.certificates.contains(&other.der));
        assert!(!loaded.certificates.contains(&ours.der));
        let expected = [
            Warning::InheritedOwn(inherited),
            Warning::ExtraOwn(path, line),
        ];
        assert_eq!(loaded.warnings, expected);
        let said = loaded.warnings[0].to_string();
        assert!(
            said.starts_with("SSL_CERT_FILE (") && said.contains("holds our own CA"),
            "{said}"
        );
    }
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let folder = TempDir::new().unwrap();
    let good = made("good").pem;
    let lines = good.lines().count();
    let cases = [
        (String::new(), "holds no certificate in PEM".to_owned()),
        (
            "0\u{1}binary".to_owned(),
            "holds no certificate in PEM".to_owned(),
        ),
        (
            format!("{good}-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"),
            format!(":{}: not a certificate in PEM", lines + 1),
        ),
        (
            format!("{good}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            format!(":{}: not an X.509 certificate", lines + 2),
        ),
        (
            good[..good.len() / 2].to_owned(),
            ":1: the certificate has no end line".to_owned(),
        ),
    ];
    for (text, message) in cases {
        let extra = [file(&folder, "bad.pem", &text)];
        let error = Roots::load(&Params {
            extra: &extra,
            ..Params::default()
        })
        .unwrap_err();
        assert!(error.to_string().contains(&message), "{error} / {message}");
        assert!(!error.hint().is_empty());
    }
    let extra = [folder.path().join("not there")];
    let params = Params {
        extra: &extra,
        ..Params::default()
    };
    assert!(matches!(Roots::load(&params), Err(Error::Read { .. })));
}

#[test]
fn an_environment_that_names_nothing_is_refused() {
    let folder = TempDir::new().unwrap();
    let inherited = Inherited {
        file: Some(folder.path().join("none.pem")),
        folders: vec![folder.path().to_owned()],
    };
    let error = Roots::load(&Params {
        inherited,
        ..Params::default()
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("SSL_CERT_FILE and SSL_CERT_DIR ("),
        "{error}"
    );
}
