//! What people write wrongly into a recipe, and what `check` says of it: the file, the line, the key, and what to write
//! instead.

use crate::support::proxy::proxy;

const BIND: &str = "bind = [{ host = \"api.example.com\" }]\n";

#[test]
fn check_explains_a_recipes_mistakes() {
    let bearer = "[[inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{ access_token }}\"\n";
    let inject = |lines: &str| format!("{BIND}[[inject]]\n{lines}\n");
    let cookies = |lines: &str| format!("{BIND}[cookies]\n{lines}\n");
    for (recipe, place, words) in [
        (
            format!("{BIND}[[injekt]]\nheader = \"a\"\n"),
            "mine.toml:2:3",
            "did you mean `inject`?",
        ),
        (
            format!("bind = [{{ host = \"https://api.example.com/v1\" }}]\n{bearer}"),
            "mine.toml:1:18",
            "the host alone",
        ),
        (
            format!("bind = [{{ host = \"api.*.example.com\" }}]\n{bearer}"),
            "mine.toml:1:18",
            "\"*.example.com\"",
        ),
        (
            inject("header = \"authorization\"\nvalue = \"Bearer {{ tok }}\""),
            "mine.toml:4:9",
            "there are access_token",
        ),
        (
            inject("header = \"authorization\"\nvalue = \"Bearer ${ACCESS_TOKEN}\""),
            "mine.toml:4:9",
            "value = \"Bearer {{ access_token }}\"",
        ),
        (
            inject("header = \"Authorization: Bearer\"\nvalue = \"{{ access_token }}\""),
            "mine.toml:3:10",
            "the name alone",
        ),
        (
            inject("header = \"x\"\nvalue = \"{{ access_token | b64decode }}\""),
            "mine.toml:4:9",
            "base64_decode",
        ),
        (
            cookies("[[rejected]]\nstatus = [302]\nlocation = \"https://a.example/login*\""),
            "mine.toml:5:12",
            "the path alone: \"/login*\"",
        ),
        (
            cookies("[[rejected]]\nstatus = \"302\""),
            "mine.toml:4:10",
            "without quotes",
        ),
        (
            cookies("[refresh]\nkind = \"touch\"\nurl = \"https://www.example.com/\""),
            "mine.toml:5:7",
            "to `bind`",
        ),
        (
            cookies("[refresh]\nkind = \"command\"\ncommand = \"get-token --now\""),
            "mine.toml:5:11",
            "command = [\"prog\", \"argument\"]",
        ),
        (
            cookies("[refresh]\nkind = \"oauth\"\ntoken_url = \"https://a.example/t\""),
            "mine.toml:4:8",
            "\"oauth2\"",
        ),
        (
            "params = { tenant = { required = true } }\nbind = [{ host = \"{{ tenant }}.example.com\" }]\n[cookies]\n".to_owned(),
            "config.toml:",
            "values = { tenant = \"…\" }",
        ),
        (
            format!("[session.mine]\n{BIND}[session.mine.cookies]\n"),
            "mine.toml:1:2",
            "its keys stand as they are",
        ),
        (
            format!("secrets = {{ a = \"env:A\" }}\n{BIND}[cookies]\n"),
            "mine.toml:1:1",
            "secrets stand in the configuration",
        ),
        (
            cookies("set_cookie = true"),
            "mine.toml:3:14",
            "put it in quotes",
        ),
    ] {
        let proxy = proxy()
            .config("[session.mine]\nprovider = \"mine\"\n")
            .prepare();
        std::fs::create_dir(proxy.path().join("providers")).unwrap();
        std::fs::write(proxy.path().join("providers/mine.toml"), &recipe).unwrap();
        let output = proxy.cli(&["check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{recipe}\n{said}");
        assert!(
            said.contains(place) && said.contains(words),
            "{recipe}\n{said}"
        );
        assert!(said.contains("hint:"), "{said}");
    }
}
