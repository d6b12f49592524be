//! `command`: a program that prints a credential. Its output is read and never logged.

use std::process::Stdio;

use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use super::{Live, Renewed};
use crate::{auth::credentials, life::Failure};

// === impl Live ===

impl Live {
    pub(super) async fn command(&self, argv: &[String]) -> Result<Renewed, Failure> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(Failure::Misconfigured("the command is empty".to_owned()));
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What programs complain about often shows what they complain with.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::Misconfigured(format!("{program} does not start: {error}"))
            })?;
        let output = self.output(child).await?;
        let now = self.http.env.wall();
        let printed = credentials::read(&output, now)
            .map_err(|error| Failure::NotAnAnswer(error.to_string()))?;
        if printed.expires_at.is_some_and(|end| end <= now) {
            let why = "the command printed a credential that has expired";
            return Err(Failure::NotAnAnswer(why.to_owned()));
        }
        Ok(Renewed {
            fields: printed.fields,
            expires_at: printed.expires_at,
            ..Renewed::default()
        })
    }

    async fn output(&self, mut child: Child) -> Result<Vec<u8>, Failure> {
        let failed = |why: String| Failure::NotAnAnswer(why);
        let most = self.http.limits.token_answer;
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let read = stdout.take(most as u64 + 1).read_to_end(&mut output).await;
            read.map_err(|error| failed(format!("the command's output was not read: {error}")))?;
        }
        if output.len() > most {
            return Err(failed(format!(
                "the command printed more than {most} bytes"
            )));
        }
        let status = child
            .wait()
            .await
            .map_err(|error| failed(format!("the command was lost: {error}")))?;
        if status.success() {
            Ok(output)
        } else {
            Err(failed(format!("the command ended with {status}")))
        }
    }
}
