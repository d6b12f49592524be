//! git, from a real `git http-backend` behind a credential: clone, fetch, push.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    canary::canary,
    cgi,
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    seen,
    tool::{Way, clean, find, run, succeed, through},
};

use super::WAYS;

/// Runs git in a folder, without anybody's settings.
fn git(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = clean(&find("git"), folder);
    identify(command.args(arguments));
    command
}

pub(super) fn identify(command: &mut Command) {
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Tester")
            .env(format!("GIT_{role}_EMAIL"), "t@example.test");
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
}

/// A bare repository with some history, and an origin that serves it to bearers of the token.
pub(super) async fn served(folder: &Path, token: &str) -> Origin {
    let work = folder.join("work");
    std::fs::create_dir(&work).unwrap();
    succeed(git(&work, &["init", "-q", "-b", "main"])).await;
    for number in 0..20 {
        let text = (0..2_000)
            .map(|line| format!("{number} {line} {}\n", canary("git")))
            .collect::<String>();
        std::fs::write(work.join(format!("file{number}")), text).unwrap();
        succeed(git(&work, &["add", "."])).await;
        succeed(git(
            &work,
            &["commit", "-q", "-m", &format!("commit {number}")],
        ))
        .await;
    }
    succeed(git(folder, &["clone", "-q", "--bare", "work", "repo.git"])).await;
    succeed(git(
        &folder.join("repo.git"),
        &["config", "http.receivepack", "true"],
    ))
    .await;
    let backend = backend(folder).await;
    let root = folder.to_str().expect("UTF-8").to_owned();
    origin(&["git.example.test"])
        .bearer(token)
        .handler(move |request| {
            let environment = vec![
                ("GIT_PROJECT_ROOT", root.clone()),
                ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
                ("REMOTE_USER", "tester".to_owned()),
            ];
            let backend = backend.clone();
            async move { Ok(cgi::answer(request, backend, environment).await) }
        })
        .start()
        .await
}

async fn backend(folder: &Path) -> PathBuf {
    let output = succeed(git(folder, &["--exec-path"])).await;
    let path = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("git-http-backend");
    assert!(path.exists(), "{} is missing: run ./test", path.display());
    path
}

fn through_proxy(proxy: &Proxy, way: Way, arguments: &[&str]) -> Command {
    let mut command = through(proxy, way, &find("git"), arguments);
    identify(&mut command);
    command
}

async fn head(folder: &Path) -> String {
    String::from_utf8_lossy(&succeed(git(folder, &["rev-parse", "HEAD"])).await.stdout)
        .trim()
        .to_owned()
}

/// Promise 10: git clones over https, with nothing in its configuration, by its variables and by `run`.
#[tokio::test(flavor = "multi_thread")]
async fn git_clones_fetches_and_pushes() {
    let folder = tempfile::tempdir().unwrap();
    let token = canary("git");
    let site = served(folder.path(), &token).await;
    let proxy = proxy()
        .site(&site)
        .bearer("git", "git.example.test", &token)
        .start()
        .await;
    let url = site.url("/repo.git");
    let expected = head(&folder.path().join("repo.git")).await;
    for way in WAYS {
        let copy = format!("copy-{way:?}");
        succeed(through_proxy(&proxy, way, &["clone", "-q", &url, &copy])).await;
        let copy = proxy.path().join(copy);
        assert_eq!(head(&copy).await, expected);
        succeed(git(&copy, &["fsck", "--full", "--strict"])).await;

        succeed(git(
            &copy,
            &["commit", "-q", "--allow-empty", "-m", "from the copy"],
        ))
        .await;
        let branch = format!("HEAD:refs/heads/{way:?}");
        let place = copy.to_str().expect("UTF-8");
        succeed(through_proxy(
            &proxy,
            way,
            &["-C", place, "push", "-q", "origin", &branch],
        ))
        .await;
        succeed(through_proxy(
            &proxy,
            way,
            &["-C", place, "fetch", "-q", "origin"],
        ))
        .await;
        let pushed = succeed(git(
            &folder.path().join("repo.git"),
            &["rev-parse", &format!("{way:?}")],
        ))
        .await;
        assert_eq!(
            String::from_utf8_lossy(&pushed.stdout).trim(),
            head(&copy).await
        );

        let missing = run(through_proxy(
            &proxy,
            way,
            &["clone", "-q", &site.url("/none.git"), "none"],
        ))
        .await;
        assert_eq!(missing.status.code(), Some(128), "git's own exit status");
    }
    seen::saw(
        "any",
        "git",
        &seen::installed("git"),
        "clone, fetch and push",
    );
}
