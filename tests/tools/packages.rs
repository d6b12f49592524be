//! Package managers against private registries that only a credential opens.

use std::{collections::HashMap, io::Write as _, path::Path, sync::Arc};

use bytes::Bytes;
use http::header;

use crate::support::{
    content::sha256,
    origin::{Origin, origin},
    proxy::proxy,
    routes, seen,
    tool::{find, python, succeed, through},
};

use super::WAYS;

/// An origin of some files, for bearers.
async fn files(name: &str, files: Vec<(&str, &'static str, Vec<u8>)>) -> Origin {
    let files: HashMap<String, (&str, Bytes)> = files
        .into_iter()
        .map(|(path, kind, bytes)| (path.to_owned(), (kind, bytes.into())))
        .collect();
    let files = Arc::new(files);
    origin(&[name])
        .bearer("t1")
        .handler(move |request| {
            let found = files.get(request.uri().path()).cloned();
            async move {
                let Some((kind, bytes)) = found else {
                    return Err(request);
                };
                let mut reply = routes::text(bytes);
                reply
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, kind.parse().unwrap());
                Ok(reply)
            }
        })
        .start()
        .await
}

/// pip downloads a wheel from an index behind a credential.
#[tokio::test(flavor = "multi_thread")]
async fn pip_downloads_from_a_private_index() {
    let folder = tempfile::tempdir().unwrap();
    let make = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('signed_demo/__init__.py', 'x = 1')\n\
        z.writestr('signed_demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: signed-demo\\nVersion: 1.0\\n')\n\
        z.writestr('signed_demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr('signed_demo-1.0.dist-info/RECORD', '')\n\
        z.close()\n";
    let name = "signed_demo-1.0-py3-none-any.whl";
    let wheel = folder.path().join(name);
    let mut command = crate::support::tool::clean(&python(), folder.path());
    command.args(["-c", make]).arg(&wheel);
    succeed(command).await;
    let wheel = std::fs::read(wheel).unwrap();
    let page = format!(
        "<html><body><a href=\"/files/{name}#sha256={}\">{name}</a></body></html>",
        sha256(&wheel)
    );
    let path = format!("/files/{name}");
    let site = files(
        "pypi.example.test",
        vec![
            ("/simple/signed-demo/", "text/html", page.into_bytes()),
            (&path, "application/octet-stream", wheel.clone()),
        ],
    )
    .await;
    let proxy = proxy()
        .site(&site)
        .bearer("pypi", "pypi.example.test", "t1")
        .start()
        .await;
    for way in WAYS {
        let out = format!("pip-{way:?}");
        let index = site.url("/simple/");
        let arguments = [
            "-m",
            "pip",
            "download",
            "-q",
            "--no-cache-dir",
            "--no-deps",
            "-i",
            &index,
            "-d",
            &out,
            "signed-demo",
        ];
        let mut command = through(&proxy, way, &python(), &arguments);
        command
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_CONFIG_FILE", "/dev/null");
        succeed(command).await;
        assert_eq!(
            std::fs::read(proxy.path().join(out).join(name)).unwrap(),
            wheel
        );
    }
    let pip = seen::installed(python().with_file_name("pip"));
    seen::saw("any", "pip", &pip, "a package of a private index");
}

/// npm installs a package from a registry behind a credential.
#[tokio::test(flavor = "multi_thread")]
async fn npm_installs_from_a_private_registry() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    std::fs::create_dir(&package).unwrap();
    let mut manifest = std::fs::File::create(package.join("package.json")).unwrap();
    manifest
        .write_all(br#"{"name":"signed-demo","version":"1.0.0"}"#)
        .unwrap();
    let mut command = crate::support::tool::clean(&find("tar"), folder.path());
    command.args(["czf", "p.tgz", "package"]);
    succeed(command).await;
    let archive = std::fs::read(folder.path().join("p.tgz")).unwrap();
    let document = serde_json::json!({
        "name": "signed-demo", "dist-tags": { "latest": "1.0.0" },
        "versions": { "1.0.0": {
            "name": "signed-demo", "version": "1.0.0",
            "dist": { "tarball": "https://npm.example.test/signed-demo/-/signed-demo-1.0.0.tgz" },
        } },
    });
    let site = files(
        "npm.example.test",
        vec![
            (
                "/signed-demo",
                "application/json",
                document.to_string().into_bytes(),
            ),
            (
                "/signed-demo/-/signed-demo-1.0.0.tgz",
                "application/octet-stream",
                archive,
            ),
        ],
    )
    .await;
    let proxy = proxy()
        .site(&site)
        .bearer("npm", "npm.example.test", "t1")
        .start()
        .await;
    for way in WAYS {
        let place = proxy.path().join(format!("npm-{way:?}"));
        std::fs::create_dir(&place).unwrap();
        let registry = format!("--registry={}", site.url("/"));
        let prefix = format!("--prefix={}", place.display());
        let cache = format!("--cache={}", place.join("cache").display());
        let arguments = [
            "install",
            "--no-audit",
            "--no-fund",
            &registry,
            &prefix,
            &cache,
            "signed-demo",
        ];
        succeed(through(&proxy, way, &find("npm"), &arguments)).await;
        assert!(place.join("node_modules/signed-demo/package.json").exists());
    }
    let npm = seen::installed("npm");
    seen::saw("any", "npm", &npm, "a package of a private registry");
}

/// cargo fetches a crate from a sparse registry behind a credential.
#[tokio::test(flavor = "multi_thread")]
async fn cargo_fetches_from_a_private_registry() {
    // The toolchain that builds this: another may want to install itself first.
    let cargo = Path::new(env!("CARGO"));
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("signed-demo-1.0.0/src");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("lib.rs"), "pub fn x() {}\n").unwrap();
    let manifest = "[package]\nname = \"signed-demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    std::fs::write(folder.path().join("signed-demo-1.0.0/Cargo.toml"), manifest).unwrap();
    let mut command = crate::support::tool::clean(&find("tar"), folder.path());
    command.args(["czf", "p.crate", "signed-demo-1.0.0"]);
    succeed(command).await;
    let archive = std::fs::read(folder.path().join("p.crate")).unwrap();
    let line = serde_json::json!({
        "name": "signed-demo", "vers": "1.0.0", "deps": [], "cksum": sha256(&archive), "features": {}, "yanked": false,
    });
    let registry = br#"{ "dl": "https://cargo.example.test/dl" }"#.to_vec();
    let site = files(
        "cargo.example.test",
        vec![
            ("/index/config.json", "application/json", registry),
            (
                "/index/si/gn/signed-demo",
                "text/plain",
                line.to_string().into_bytes(),
            ),
            (
                "/dl/signed-demo/1.0.0/download",
                "application/gzip",
                archive,
            ),
        ],
    )
    .await;
    let proxy = proxy()
        .site(&site)
        .bearer("cargo", "cargo.example.test", "t1")
        .start()
        .await;
    for way in WAYS {
        let place = proxy.path().join(format!("cargo-{way:?}"));
        std::fs::create_dir_all(place.join("src")).unwrap();
        std::fs::create_dir(place.join(".cargo")).unwrap();
        std::fs::write(place.join("src/lib.rs"), "").unwrap();
        let manifest = "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n\
            [dependencies]\nsigned-demo = { version = \"1\", registry = \"private\" }\n";
        std::fs::write(place.join("Cargo.toml"), manifest).unwrap();
        let index = site.url("/index/");
        let config = format!("[registries.private]\nindex = \"sparse+{index}\"\n");
        std::fs::write(place.join(".cargo/config.toml"), config).unwrap();
        let mut command = through(&proxy, way, cargo, &["fetch", "--quiet"]);
        command
            .current_dir(&place)
            .env("CARGO_HOME", place.join("home"))
            .env("RUSTC", cargo.with_file_name("rustc"));
        succeed(command).await;
        let lock = std::fs::read_to_string(place.join("Cargo.lock")).unwrap();
        assert!(lock.contains("name = \"signed-demo\""), "{lock}");
    }
    let version = seen::installed(cargo);
    seen::saw("any", "cargo", &version, "a package of a private registry");
}
