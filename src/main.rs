//! The `customize` command: arguments and environment in, exit code out.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use customize::cli::Cli;
use customize::commands::{self, Environment};
use customize::core::cancel::Cancel;
use customize::error::{Error, Kind, Result};
use customize::report::Report;
use customize::store::cache;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

fn main() -> ExitCode {
    // First of all, so that there is no moment at which a signal leaves something behind.
    let cancel = on_signals();
    let cli = Cli::parse();
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let report = Report::new(cli.talk, no_color);
    let result = cancel
        .and_then(environment)
        .and_then(|environment| commands::run(&cli, &environment, &report));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn environment(cancel: Cancel) -> Result<Environment> {
    let source_date_epoch = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Some(text),
        Err(env::VarError::NotPresent) => None,
        Err(env::VarError::NotUnicode(_)) => {
            return Err(Error::usage(
                "SOURCE_DATE_EPOCH: expected seconds since the epoch, found bytes that are no text",
            ));
        }
    };
    let cache_home = env::var_os("XDG_CACHE_HOME");
    let home = env::var_os("HOME");
    Ok(Environment {
        source_date_epoch,
        cache_dir: cache::default_dir(cache_home.as_deref(), home.as_deref()),
        cancel,
    })
}

/// A first signal stops the work in good order; a second one ends the process at once. A file that
/// may not grow (`ulimit -f`) is an error of the write and not the end of the process.
fn on_signals() -> Result<Cancel> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Kind::Interrupted.exit_code());
        flag::register_conditional_shutdown(signal, code, Arc::clone(&flag))
            .and_then(|_| flag::register(signal, Arc::clone(&flag)))
            .map_err(|error| Error::io("cannot watch for signals", error))?;
    }
    flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Error::io("cannot watch for signals", error))?;
    Ok(Cancel::from(flag))
}
