//! `init`: a configuration to begin with, the CA and the key; what is there already stays.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    ca::Root,
    cli::{
        context::{Context, Found},
        error::Error,
        output::{self, Paint},
        runtime,
    },
    config::{self, EXAMPLE, Found as How, Place},
    server,
};

/// Makes what is missing; returns the exit code.
pub(in crate::cli) fn run(context: Context) -> Result<u8, Error> {
    context.log_quietly()?;
    let (path, how) = target(&context);
    let made = write(&path)?;
    let place = Place {
        path: path.clone(),
        found: how,
        notes: Vec::new(),
    };
    let loaded = config::load(&place, &context.variables)?;
    let found = Found { place, loaded };
    let config = found.config();
    let hosts = server::bound_hosts(config);
    let constrain = config.ca.constrain.then_some(&hosts[..]);
    let root = Root::open(&config.ca.dir, constrain, SystemTime::now())?;
    let had_key = key_file(config).is_some_and(|path| path.exists());
    runtime::one()?.block_on(server::make_store(config, &context.variables))?;

    let line = |new: bool, what: &str, path: &Path| {
        let word = if new {
            Paint::Good("made")
        } else {
            Paint::Dim("kept")
        };
        output::print(format_args!("{word}  {what:<14} {}\n", path.display()))
    };
    line(made, "configuration", &config.file)?;
    line(root.is_new(), "CA", &root.path())?;
    if let Some(path) = key_file(config) {
        line(!had_key, "store's key", &path)?;
    }
    let option = match how {
        How::Option => format!(" --config {}", path.display()),
        How::Variable | How::Folder | How::Home => String::new(),
    };
    output::print(format_args!(
        "\nWhat comes next:\n  \
         1. add a session to {}; the examples in it say how\n  \
         2. staysigned{option} check\n  \
         3. staysigned{option} run -- curl https://…    or serve: staysigned{option}\n",
        path.display()
    ))?;
    Ok(0)
}

/// Returns where the configuration goes: where it is looked for first.
fn target(context: &Context) -> (PathBuf, How) {
    if let Some(path) = &context.config {
        return (path.clone(), How::Option);
    }
    let variable = context.variables.get("STAYSIGNED_CONFIG");
    match variable.filter(|path| !path.is_empty()) {
        Some(path) => (path.into(), How::Variable),
        None => ("config.toml".into(), How::Folder),
    }
}

/// Writes the example, unless there is a file.
fn write(path: &Path) -> Result<bool, Error> {
    let failed = |e| Error::because(format!("cannot write {}", path.display()), e);
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => file.write_all(EXAMPLE.as_bytes()).map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    Ok(true)
}

fn key_file(config: &config::Config) -> Option<PathBuf> {
    match (&config.store.key, &config.store.url) {
        (config::Source::File(path), crate::store::Kind::Sqlite(_)) => Some(path.clone()),
        _ => None,
    }
}
