//! `submit` and `run`.

use super::logs::{Followed, follow};
use super::show::report_end;
use super::{Ending, Failure, Output, SubmitArguments};
use crate::client::{Client, Log, Submission};

pub(super) async fn submit(
    client: &Client,
    arguments: SubmitArguments,
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let job = client.submit(&submission(arguments)).await?;
    if output.json {
        output.document(&job.raw).await?;
    } else {
        output.text(&format!("{}\n", job.id)).await?;
    }
    Ok(Ending::Done)
}

pub(super) async fn run(
    client: &Client,
    arguments: SubmitArguments,
    output: &mut Output<'_>,
) -> Result<Ending, Failure> {
    let replicas = arguments.replicas.unwrap_or(1);
    let job = client.submit(&submission(arguments)).await?;
    // Known from the first moment on, for whoever interrupts this.
    output.say(&format!("job {} is accepted", job.id)).await?;
    // With JSON the output is the job's document, so the job's own goes beside it.
    let job = if output.json {
        client.wait(job.id).await?
    } else {
        let (stdout, stderr) = (&mut *output.out, &mut *output.err);
        let mut logs =
            [Followed::new(Log::Stdout, 0..replicas, stdout), Followed::new(Log::Stderr, 0..replicas, stderr)];
        follow(client, job.id, &mut logs).await?
    };
    report_end(&job, output).await
}

fn submission(arguments: SubmitArguments) -> Submission {
    let SubmitArguments { run_id, source, commit_ref, env, replicas, kill_grace, parameters, words } = arguments;
    Submission {
        command: command(words),
        run_id,
        url: source,
        commit_ref,
        environment: env,
        replicas,
        kill_grace,
        parameters,
    }
}

/// The shell command for `words`: a single word is one already, several are quoted so that they arrive as they are.
fn command(mut words: Vec<String>) -> String {
    if words.len() == 1 {
        return words.swap_remove(0);
    }
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,+@%=".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn one_word_is_a_command_and_several_are_arguments() {
        let command = |words: &[&str]| command(words.iter().map(ToString::to_string).collect());
        assert_eq!(command(&["echo $JOB_ID | cat"]), "echo $JOB_ID | cat");
        assert_eq!(command(&["ls", "-l", "a b", "it's", "", "$x"]), r"ls -l 'a b' 'it'\''s' '' '$x'");
    }

    #[test]
    fn an_assignment_as_first_of_several_words_is_kept() {
        assert_eq!(command(vec!["env".into(), "A=b".into(), "true".into()]), "env A=b true");
    }
}
