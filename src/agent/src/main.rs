//! The program: reads the command line, and turns what became of it into an exit code.

use std::process::ExitCode;

use portolan::{
    cli::{Command, List, parse},
    commands, daemon,
    exit::Exit,
    logging,
};

fn main() -> ExitCode {
    let command = match parse(std::env::args_os()) {
        Ok(cli) => cli.command,
        // --help and --version come here too. clap's own exit code for a bad command line is `diff`'s for drift.
        Err(answer) => {
            let exit = if answer.use_stderr() { Exit::Failure } else { Exit::Success };
            return answer.print().map_or(Exit::Failure, |()| exit).into();
        }
    };
    run(command).unwrap_or_else(|error| failed(&error)).into()
}

fn run(command: Command) -> anyhow::Result<Exit> {
    if !matches!(command, Command::Run(_) | Command::CheckConfig(_)) {
        logging::start(logging::PLAIN);
    }
    Ok(match command {
        Command::Run(flags) => daemon::run(&flags)?,
        Command::Render(flags) => commands::render(&flags)?,
        Command::Diff(flags) => commands::diff(&flags)?,
        Command::CheckConfig(flags) => commands::check_config(&flags)?,
        Command::List(List { rejected: true, flags, output, .. }) => commands::rejected(&flags, output)?,
        Command::List(List { output, counters: true, .. }) => commands::counters(output)?,
        Command::List(List { output, .. }) => commands::list(output)?,
        Command::Trace(arguments) => commands::trace(&arguments)?,
        Command::Cleanup(arguments) => commands::cleanup(&arguments)?,
    })
}

/// In the log where there is one; a configuration may have many mistakes, each on a line of its own.
fn failed(error: &anyhow::Error) -> Exit {
    for line in format!("{error:#}").lines() {
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{line}");
        } else {
            eprintln!("error: {line}");
        }
    }
    Exit::Failure
}
