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
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

fn main() -> ExitCode {
    // First of all, so that there is no moment at which a signal leaves something behind.
    let signals = on_signals();
    let cli = Cli::parse();
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let report = Report::new(cli.talk, no_color);
    let result = signals
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

fn environment(signals: Signals) -> Result<Environment> {
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
        cancel: Cancel::from(signals.stop),
        at_once: signals.at_once,
    })
}

/// Before the work begins, a signal ends the process at once. Then a first one stops the work in
/// good order, and only a second one ends the process. A file that may not grow (`ulimit -f`) is
/// an error of the write and not the end of the process.
fn on_signals() -> Result<Signals> {
    let signals = Signals {
        stop: Arc::default(),
        at_once: Arc::new(AtomicBool::new(true)),
    };
    let watch = |error| Error::io("cannot watch for signals", error);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let code = i32::from(Kind::Interrupted.exit_code());
        flag::register_conditional_shutdown(signal, code, Arc::clone(&signals.at_once))
            .and_then(|_| flag::register(signal, Arc::clone(&signals.at_once)))
            .and_then(|_| flag::register(signal, Arc::clone(&signals.stop)))
            .map_err(watch)?;
    }
    flag::register(SIGXFSZ, Arc::default()).map_err(watch)?;
    Ok(signals)
}

/// What signals raise.
struct Signals {
    stop: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
}
