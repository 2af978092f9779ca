//! Cuts the tar into blocks of one size, compresses them in threads, and writes the results in
//! order. The calling thread makes the tar and writes; no more than a few blocks exist at a time.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use super::cannot_write;
use super::codec::{BLOCK, Codec, HISTORY};
use crate::error::{Error, Result};

/// Compresses what `produce` writes and writes it to `out`. The first error of any side ends all.
pub(super) fn compress<W: Write, T>(
    codec: Codec,
    threads: NonZeroUsize,
    out: &mut W,
    produce: impl FnOnce(&mut Blocks<'_, W>) -> Result<T>,
) -> Result<T> {
    let (jobs, queue) = mpsc::channel();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let workers = spawn(scope, codec, &queue, threads.get().min(codec.max_threads()))?;
        out.write_all(codec.start()).map_err(cannot_write)?;
        // the jobs end with `blocks`, and so do the threads, which the scope waits for
        let mut blocks = Blocks {
            codec,
            out,
            jobs,
            pending: VecDeque::new(),
            // one that waits for each two that are at work keeps the threads busy
            limit: workers + workers.div_ceil(2),
            filling: Block::default(),
            spare: Vec::new(),
            crc: crc32fast::Hasher::new(),
            size: 0,
        };
        let made = produce(&mut blocks)?;
        blocks.finish()?;
        Ok(made)
    })
}

/// Starts up to `wanted` threads and says how many run: fewer where the system gives no more.
fn spawn<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    codec: Codec,
    queue: &'env Mutex<Receiver<Job>>,
    wanted: usize,
) -> Result<usize> {
    for running in 0..wanted {
        let builder = thread::Builder::new().name("compress".to_owned());
        if let Err(error) = builder.spawn_scoped(scope, move || work(codec, queue)) {
            return match running {
                0 => Err(Error::io("cannot start a compression thread", error)),
                _ => Ok(running),
            };
        }
    }
    Ok(wanted)
}

/// Compresses blocks until there are no more.
fn work(codec: Codec, queue: &Mutex<Receiver<Job>>) {
    loop {
        // a thread waits in `recv` with the lock held, the others wait for the lock
        let Ok(Ok(mut job)) = queue.lock().map(|queue| queue.recv()) else {
            return;
        };
        let (history, data) = job.block.bytes.split_at(job.block.history);
        let result = codec
            .compress(history, data, job.last, &mut job.block.compressed)
            .map(|crc| (job.block, crc));
        // nobody waits for it any more after an error elsewhere
        let _ = job.reply.send(result);
    }
}

/// A block for a thread to compress.
struct Job {
    block: Block,
    last: bool,
    reply: SyncSender<Reply>,
}

/// The block with its compressed form, and the CRC-32 of its data.
type Reply = Result<(Block, crc32fast::Hasher)>;

/// A part of the tar. Its memory is used again and again.
#[derive(Default)]
struct Block {
    /// The end of the block before, then up to [`BLOCK`] bytes of data.
    bytes: Vec<u8>,
    /// Where the data begins.
    history: usize,
    /// The data compressed.
    compressed: Vec<u8>,
}

impl Block {
    fn free(&self) -> usize {
        BLOCK - (self.bytes.len() - self.history)
    }

    /// Empties the block and makes it the one that follows `before`.
    fn follow(mut self, before: &Self) -> Self {
        let start = before.bytes.len().saturating_sub(HISTORY);
        self.bytes.clear();
        self.bytes.reserve_exact(HISTORY + BLOCK);
        self.bytes.extend_from_slice(&before.bytes[start..]);
        self.history = self.bytes.len();
        self
    }
}

/// The tar goes in here.
pub(super) struct Blocks<'a, W> {
    codec: Codec,
    out: &'a mut W,
    jobs: Sender<Job>,
    /// The replies to come, in the order of the blocks.
    pending: VecDeque<Receiver<Reply>>,
    /// How many may be pending.
    limit: usize,
    filling: Block,
    spare: Vec<Block>,
    crc: crc32fast::Hasher,
    size: u64,
}

impl<W: Write> Blocks<'_, W> {
    /// Gives the block that was filled to the threads.
    fn submit(&mut self, last: bool) -> Result<()> {
        while self.pending.len() >= self.limit {
            self.write_oldest()?;
        }
        let next = self.spare.pop().unwrap_or_default().follow(&self.filling);
        let block = mem::replace(&mut self.filling, next);
        let (reply, receiver) = mpsc::sync_channel(1);
        self.jobs
            .send(Job { block, last, reply })
            .map_err(|_| stopped())?;
        self.pending.push_back(receiver);
        Ok(())
    }

    fn write_oldest(&mut self) -> Result<()> {
        let Some(receiver) = self.pending.pop_front() else {
            return Ok(());
        };
        let (block, crc) = receiver.recv().map_err(|_| stopped())??;
        self.crc.combine(&crc);
        self.out
            .write_all(&block.compressed)
            .map_err(cannot_write)?;
        self.spare.push(block);
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.submit(true)?;
        while !self.pending.is_empty() {
            self.write_oldest()?;
        }
        let end = self.codec.end(self.crc, self.size);
        self.out.write_all(&end).map_err(cannot_write)
    }
}

impl<W: Write> Write for &mut Blocks<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        // a full block waits for the byte after it, since the last one is compressed differently
        if self.filling.free() == 0 {
            self.submit(false).map_err(Error::into_io)?;
        }
        let n = buf.len().min(self.filling.free());
        self.filling.bytes.extend_from_slice(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stopped() -> Error {
    Error::internal("the compression threads stopped")
}
