//! The program: reads the command line, and turns what became of it into an exit code.

use std::process::ExitCode;

use clap::Parser;
use portolan::{
    cli::{Cli, Command, List},
    commands,
    exit::Exit,
    logging,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // --help and --version come here too. clap's own exit code for a bad command line is `diff`'s for drift.
        Err(answer) => {
            let exit = if answer.use_stderr() { Exit::Failure } else { Exit::Success };
            return answer.print().map_or(Exit::Failure, |()| exit).into();
        }
    };
    logging::start(cli.log_format);
    run(cli.command)
        .unwrap_or_else(|error| {
            tracing::error!("{error:#}");
            Exit::Failure
        })
        .into()
}

fn run(command: Command) -> anyhow::Result<Exit> {
    Ok(match command {
        Command::Run(arguments) => commands::run(&arguments)?,
        Command::Render(desired) => commands::render(&desired)?,
        Command::Diff(desired) => commands::diff(&desired)?,
        Command::List(List { rejected: true, manifests: Some(manifests), node, output, .. }) => {
            commands::rejected(&manifests, &node, output)?
        }
        Command::List(List { output, counters: true, .. }) => commands::counters(output)?,
        Command::List(List { output, .. }) => commands::list(output)?,
        Command::Trace(arguments) => commands::trace(&arguments)?,
        Command::Cleanup => commands::cleanup()?,
    })
}
