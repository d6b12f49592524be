//! What the file holds, and what becomes of who writes into it.

use super::*;
use crate::{
    secret::Secret,
    store::{Change, Committed, Cookies, Notes, jar},
};

const CANARY: &str = "c4n4ryV4lu3";

#[tokio::test]
async fn nothing_secret_is_on_the_disk_unsealed() {
    let home = Home::new();
    let store = home.open();
    let mut held = grant(CANARY);
    held.fields
        .insert(format!("field-{CANARY}"), Secret::from(CANARY));
    let mut sealed = cookie(CANARY, CANARY);
    sealed.domain = format!("{}.example", CANARY.to_lowercase());
    let change = |n: u64| Change {
        generation: Generation(n),
        grant: Some(held.clone()),
        cookies: Cookies::Replace(vec![sealed.clone()]),
        notes: Some(Notes {
            needs_login: Some(CANARY.to_owned()),
            ..notes()
        }),
        keep_previous: true,
    };
    done(&store, &id(), 0, change(1)).await;
    done(&store, &id(), 1, change(2)).await;
    done(&store, &id(), 2, patch(&[], &[&sealed])).await;
    let all = std::fs::read_dir(home.0.path()).unwrap();
    let files: Vec<_> = all
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    assert_eq!(files.len(), 4, "database, log, index, key: {files:?}");
    let base64 = |text: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        STANDARD_NO_PAD.encode(text)
    };
    let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let lower = CANARY.to_lowercase();
    // Base64 of a part depends on where it begins.
    let shifted = |n: usize| base64(&CANARY[n..])[..8].to_owned();
    let needles = [
        CANARY.to_owned(),
        lower,
        hex(CANARY),
        shifted(0),
        shifted(1),
        shifted(2),
    ];
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
            assert!(!found, "{needle} is in {}", file.display());
        }
    }
}

/// Sessions with two cookies each and something to go back to.
async fn two_sessions() -> Home {
    let home = Home::new();
    let store = home.open();
    for id in [id(), other()] {
        let cookies = vec![cookie("a", "1"), cookie("b", "1")];
        let change = |n: u64| Change {
            cookies: Cookies::Replace(cookies.clone()),
            notes: Some(notes()),
            keep_previous: true,
            ..to(n)
        };
        done(&store, &id, 0, change(1)).await;
        done(&store, &id, 1, change(2)).await;
        let mut after = patch(&[cookie("a", "2")], &[]);
        after.generation = Generation(3);
        done(&store, &id, 2, after).await;
    }
    store.close().await.unwrap();
    home
}

#[tokio::test]
async fn a_record_that_was_moved_does_not_open() {
    let swap = |from: &str, to: &str| {
        format!(
            "CREATE TEMP TABLE f AS SELECT version, sealed FROM record WHERE {from} LIMIT 1;
             CREATE TEMP TABLE t AS SELECT version, sealed FROM record WHERE {to} LIMIT 1;
             UPDATE record SET (version, sealed) = (SELECT * FROM t) WHERE {from};
             UPDATE record SET (version, sealed) = (SELECT * FROM f) WHERE {to};"
        )
    };
    let one = "session = 1 AND kind =";
    let rows = "(SELECT min(row) FROM record WHERE session = 1 AND kind = 'cookie')";
    let cases = [
        ("two sessions' grants", swap("session = 1 AND kind = 'grant'", "session = 2 AND kind = 'grant'")),
        ("two cookies", swap(&format!("{one} 'cookie' AND row = {rows}"), &format!("{one} 'cookie' AND row <> {rows}"))),
        ("grant and notes", swap(&format!("{one} 'grant'"), &format!("{one} 'notes'"))),
        ("a cookie of another session", "UPDATE record SET row = 1 - row WHERE 0; UPDATE record SET session = 9 WHERE session = 1 AND kind = 'cookie';
             UPDATE record SET session = 1 WHERE session = 2 AND kind = 'cookie';".to_owned()),
        ("another version", format!("UPDATE record SET version = version + 1 WHERE {one} 'grant'")),
        ("a session that was renamed", "UPDATE session SET name = CASE id WHEN 1 THEN 'other' ELSE 'books' END, client = CASE id WHEN 1 THEN 'alice' END".to_owned()),
        ("a cookie as it was before", format!("UPDATE record SET (version, sealed) = (SELECT version, sealed FROM record WHERE {one} 'before')
             WHERE {one} 'cookie' AND row = (SELECT row FROM record WHERE {one} 'before')")),
        ("a bit", format!("UPDATE record SET sealed = CAST(substr(sealed, 1, 20) || x'00' || substr(sealed, 22) AS BLOB) WHERE {one} 'notes'")),
        ("nothing", format!("UPDATE record SET sealed = x'' WHERE {one} 'grant'")),
    ];
    for (what, sql) in cases {
        let home = two_sessions().await;
        let raw = home.raw();
        raw.execute_batch(&sql).unwrap();
        assert!(raw.changes() > 0, "{what}");
        drop(raw);
        let store = home.open();
        let error = store.load(&id()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Damaged(name) if name == "books"),
            "{what}: {error}"
        );
        // Nothing was deleted, and the session can be had anew.
        let count = "SELECT count(*) FROM record";
        let records: i64 = home.raw().query_row(count, (), |row| row.get(0)).unwrap();
        assert_eq!(records, 12, "{what}");
        store.forget(&id()).await.unwrap();
        let generation = held(&store, &id()).await.generation;
        assert_eq!(generation, Generation(4), "{what}");
        done(&store, &id(), 4, to(5)).await;
        assert_eq!(held(&store, &id()).await.grant, grant("token-5"));
    }
}

#[tokio::test]
async fn what_was_kept_is_guarded_too() {
    for kind in ["previous", "before"] {
        let home = two_sessions().await;
        let sql = "UPDATE record SET version = 0 WHERE session = 1 AND kind = ?1";
        assert_eq!(home.raw().execute(sql, [kind]).unwrap(), 1);
        let store = home.open();
        assert!(matches!(
            store.previous(&id()).await,
            Err(Error::Damaged(_))
        ));
        store.load(&id()).await.unwrap();
        store.previous(&other()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_damaged_session_leaves_the_others_of_a_batch_alone() {
    let home = two_sessions().await;
    let sql = "UPDATE record SET version = 0 WHERE session = 1 AND kind = 'cookie'";
    home.raw().execute(sql, ()).unwrap();
    let store = home.open();
    let replace = |store: Store, id: SessionId| {
        let change = Change {
            cookies: Cookies::Replace(vec![cookie("a", "9")]),
            ..to(4)
        };
        tokio::spawn(async move {
            store
                .commit(&id, Generation(3), change, Durability::Written)
                .await
        })
    };
    let bad = replace(store.clone(), id());
    let good = replace(store.clone(), other());
    assert!(matches!(bad.await.unwrap(), Err(Error::Damaged(_))));
    assert!(matches!(good.await.unwrap(), Ok(Committed::Done)));
    let stored: Vec<jar::Cookie> = held(&store, &other()).await.cookies;
    assert_eq!(stored, [cookie("a", "9")]);
    // Of the failed part nothing was written, not even the generation.
    let sql = "SELECT generation FROM session WHERE id = 1";
    let generation: i64 = home.raw().query_row(sql, (), |row| row.get(0)).unwrap();
    assert_eq!(generation, 3);
}
