//! The word to stop: a flag that is shared by everything that may run long, checked at each read.
//! Who raises it (a signal, a test) is not known here.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Kind, Result};

/// A flag that, once raised, makes long work stop with an error of [`Kind::Interrupted`]. Clones
/// share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Raises the flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error as soon as the flag is raised.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        Ok(())
    }

    /// Reads `inner` until the flag is raised; from then on each read is an error, which
    /// [`Error::io`] turns back into that of [`Cancel::check`].
    pub fn reader<R: Read>(&self, inner: R) -> Cancellable<R> {
        Cancellable {
            inner,
            cancel: self.clone(),
        }
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// A reader that stops when its [`Cancel`] is raised.
#[derive(Debug)]
pub struct Cancellable<R> {
    inner: R,
    cancel: Cancel,
}

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(Error::into_io)?;
        self.inner.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_stops_every_reader() {
        let cancel = Cancel::default();
        let mut reader = cancel.reader(&b"abc"[..]);
        let mut byte = [0];
        assert_eq!(reader.read(&mut byte).ok(), Some(1));
        assert!(cancel.check().is_ok());
        cancel.clone().cancel();
        let carried = reader.read(&mut byte).expect_err("raised");
        let error = Error::io("layer", carried);
        assert_eq!(error.kind(), Kind::Interrupted);
        assert_eq!(error.to_string(), "layer: interrupted");
        assert!(cancel.check().is_err());
    }
}
