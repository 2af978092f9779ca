//! Reads ahead in a thread of its own, so that what makes the bytes and what takes them work at the
//! same time: a layer is decompressed while it is hashed and indexed.
//!
//! No more than four pieces of 128 KiB wait. An end that the reader inside did not
//! report is never taken for one.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::error::{Error, Result};

/// The size of a piece in bytes.
const PIECE: usize = 128 << 10;

/// How many pieces there are.
const PIECES: usize = 4;

/// The bytes of the reader inside. Its errors come where they happened.
#[derive(Debug)]
pub struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    spare: Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// How much of the piece was given out.
    taken: usize,
    ended: bool,
}

/// Does `work` on the bytes of `inner`, which a thread reads meanwhile. When this returns, the
/// thread has ended; `inner` may have been read further than `work` did.
pub fn read_ahead<R, T>(inner: R, work: impl FnOnce(Ahead) -> T) -> Result<T>
where
    R: Read + Send,
{
    let (filled, full) = mpsc::channel();
    let (spare, empty) = mpsc::channel();
    for _ in 0..PIECES {
        // the receiver is here
        let _ = spare.send(Vec::new());
    }
    thread::scope(|scope| {
        thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn_scoped(scope, move || fill(inner, &empty, &filled))
            .map_err(|error| Error::io("cannot start a thread that reads", error))?;
        Ok(work(Ahead {
            full,
            spare,
            piece: Vec::new(),
            taken: 0,
            ended: false,
        }))
    })
}

/// Fills pieces until the end, the first error, or until nobody wants them any more. An empty piece
/// is the end.
fn fill(inner: impl Read, empty: &Receiver<Vec<u8>>, filled: &Sender<io::Result<Vec<u8>>>) {
    let mut inner = inner;
    while let Ok(mut piece) = empty.recv() {
        piece.clear();
        piece.reserve_exact(PIECE);
        let result = inner.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        // what came before an error goes out before it
        let ended = piece.is_empty() || result.is_err();
        let sent = match result {
            Err(error) if piece.is_empty() => filled.send(Err(error)),
            Err(error) => filled
                .send(Ok(piece))
                .and_then(|()| filled.send(Err(error))),
            Ok(_) => filled.send(Ok(piece)),
        };
        if ended || sent.is_err() {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() && !self.ended {
            let next = self.full.recv().unwrap_or_else(|_| Err(stopped()))?;
            self.ended = next.is_empty();
            self.taken = 0;
            // nobody takes it where the end has been read
            let _ = self.spare.send(std::mem::replace(&mut self.piece, next));
        }
        let left = &self.piece[self.taken..];
        let n = left.len().min(buf.len());
        buf[..n].copy_from_slice(&left[..n]);
        self.taken += n;
        Ok(n)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the thread that reads has stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `good` bytes, in small pieces, then an error.
    struct Failing {
        good: usize,
    }

    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.good == 0 {
                return Err(io::Error::other("broken"));
            }
            let n = self.good.min(buf.len()).min(1000);
            buf[..n].fill(7);
            self.good -= n;
            Ok(n)
        }
    }

    #[test]
    fn all_bytes_come_in_their_order() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 9 * PIECE + 5] {
            let bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
            let mut found = Vec::new();
            let result = read_ahead(bytes.as_slice(), |mut ahead| {
                ahead.read_to_end(&mut found)?;
                // the end stays the end
                ahead.read(&mut [0])
            });
            assert_eq!(result.ok().and_then(io::Result::ok), Some(0));
            assert!(found == bytes, "{size} bytes");
        }
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it_and_stays() {
        for good in [0, 10, PIECE, 5 * PIECE + 1] {
            read_ahead(Failing { good }, |mut ahead| {
                let mut found = Vec::new();
                let error = ahead.read_to_end(&mut found).expect_err("an error");
                assert_eq!(
                    (found.len(), error.to_string()),
                    (good, "broken".to_owned())
                );
                assert!(ahead.read(&mut [0]).is_err());
            })
            .expect("a thread");
        }
    }

    #[test]
    fn an_endless_reader_is_left_alone_when_the_work_is_done() {
        let mut inner = io::repeat(1);
        let first = read_ahead(&mut inner, |mut ahead| {
            let mut byte = [0];
            ahead.read_exact(&mut byte).map(|()| byte[0])
        });
        assert_eq!(first.ok().and_then(io::Result::ok), Some(1));
        // it is ours again
        assert_eq!(inner.read(&mut [0]).ok(), Some(1));
    }
}
