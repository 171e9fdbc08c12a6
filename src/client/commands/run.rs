//! From the command line to the command.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::logs::Which;
use super::top::Frames;
use super::{Cli, Command, Ending, Failure, delete, get, logs, show, submit, top};
use crate::client::print::shown;
use crate::client::server_url::basic;
use crate::client::{Client, Log, Order};

/// Where a command writes.
pub struct Output<'a> {
    /// What was asked for.
    pub out: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// What is said beside it.
    pub err: &'a mut (dyn AsyncWrite + Unpin + Send),
    /// Whether documents are printed as JSON.
    pub json: bool,
}

impl Output<'_> {
    /// Writes `text` as it is.
    pub(super) async fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).await?;
        Ok(self.out.flush().await?)
    }

    /// Writes a document in one line.
    pub(super) async fn document(&mut self, document: &Value) -> Result<(), Failure> {
        self.text(&format!("{document}\n")).await
    }

    /// Says something beside the output.
    pub(super) async fn say(&mut self, sentence: &str) -> Result<(), Failure> {
        self.err.write_all(format!("uwsctl: {sentence}\n").as_bytes()).await?;
        Ok(self.err.flush().await?)
    }
}

/// Does what `cli` asks for.
///
/// # Errors
/// [`Failure`], which has an exit code.
pub async fn run(cli: Cli, output: &mut Output<'_>) -> Result<Ending, Failure> {
    if cli.service.is_empty() || cli.service.contains(['/', '?', '#']) {
        return Err(Failure::Usage(format!("{:?} is no name of a service", cli.service)));
    }
    let client = Client::new(&cli.url, &cli.service)?;
    let client = match login(&cli).await? {
        Some(login) => client.with_authorization(login),
        None => client,
    };
    let client = client.telling(|why| {
        // Beside whatever a command is writing; a terminal that went away is no reason to end.
        let _ = writeln!(std::io::stderr(), "uwsctl: {}; trying again for up to a minute", shown(&why.to_string()));
    });
    let operator = || Client::of_operator(&cli.admin_socket);
    match cli.command {
        Command::Submit(arguments) => submit::submit(&client, arguments, output).await,
        Command::Run(arguments) => submit::run(&client, arguments, output).await,
        Command::List { phases, last } => show::list(&client, &phases, last, output).await,
        Command::Top { interval, rows, once } => {
            top::top(&client, Frames { every: Duration::from_secs(interval), rows, once }, output).await
        }
        Command::Show { id } => show::show(&client, id, output).await,
        Command::Wait { id } => show::wait(&client, id, output).await,
        Command::Logs { id, stderr, replica, follow: is_followed } => {
            let log = if stderr { Log::Stderr } else { Log::Stdout };
            logs::logs(&client, id, Which { log, replica, is_followed }, output).await
        }
        Command::Results { id } => show::results(&client, id, output).await,
        Command::Get { id, result, output: to } => get::get(&client, id, result.as_deref(), to, output).await,
        Command::Phase { id } => show::phase(&client, id, output).await,
        Command::Abort { ids } => delete::abort(&client, &ids, output).await,
        Command::Delete { ids } => delete::delete(&client, &ids, output).await,
        Command::Hold { ids } => delete::order(&operator(), Order::Hold, &ids, output).await,
        Command::Release { ids } => delete::order(&operator(), Order::Release, &ids, output).await,
        Command::Suspend { ids } => delete::order(&operator(), Order::Suspend, &ids, output).await,
        Command::Resume { ids } => delete::order(&operator(), Order::Resume, &ids, output).await,
        Command::Priority { priority, ids } => {
            delete::order(&operator(), Order::Prioritize(priority), &ids, output).await
        }
    }
}

/// Who asks, as the value of an `Authorization` header: a token (RFC 6750 §2.1), else a name and its password.
async fn login(cli: &Cli) -> Result<Option<String>, Failure> {
    let token = match (&cli.token, &cli.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => Some(
            tokio::fs::read_to_string(file)
                .await
                .map_err(|error| Failure::Usage(format!("the token in {} cannot be read: {error}", file.display())))?,
        ),
        (None, None) => None,
    };
    if let Some(token) = token {
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Usage("a token is one word of printable ASCII characters".to_owned()));
        }
        return Ok(Some(format!("Bearer {token}")));
    }
    let both = cli.user.as_deref().zip(cli.password.as_deref());
    Ok(both.map(|(user, password)| basic(format!("{user}:{password}").as_bytes())))
}
