//! Wakes an event loop through a file descriptor, from any thread, without the interpreter.

use crate::error::{Error, Result};
use std::{
    io::{ErrorKind, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::atomic::{AtomicBool, Ordering},
};

/// One byte in a socket pair says: look. Signals between two looks are one signal.
pub struct WakeFd {
    reader: UnixStream,
    writer: UnixStream,
    signalled: AtomicBool,
}

impl WakeFd {
    /// A pair that nobody has signalled.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] without file descriptors left.
    pub fn new() -> Result<Self> {
        let failed = |e: &std::io::Error| Error::io("creating a wake-up socket", e);
        let (reader, writer) = UnixStream::pair().map_err(|e| failed(&e))?;
        reader.set_nonblocking(true).map_err(|e| failed(&e))?;
        writer.set_nonblocking(true).map_err(|e| failed(&e))?;
        Ok(Self { reader, writer, signalled: AtomicBool::new(false) })
    }

    /// The descriptor that becomes readable.
    #[must_use]
    pub fn fd(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            // A full socket is readable already, which is all that is wanted.
            let _ = (&self.writer).write(&[1]);
        }
    }

    /// Call when the descriptor is readable, before looking, so that no later signal is missed.
    pub fn clear(&self) {
        let mut bytes = [0; 64];
        loop {
            match (&self.reader).read(&mut bytes) {
                Ok(64) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        // After reading: a signal that comes in between finds the flag up and writes nothing, and what
        // it was about is seen by the look that follows. The other way round its byte would be read
        // here with the flag up, and no signal would ever write again.
        self.signalled.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a byte, if there is one.
    fn signalled(wake: &WakeFd) -> bool {
        (&wake.reader).read(&mut [0]).is_ok()
    }

    /// Many signals are one; after clearing, the next one counts again.
    #[test]
    fn signals_collapse_and_none_is_lost() -> Result<()> {
        let wake = WakeFd::new()?;
        assert!(!signalled(&wake));
        (0..1_000).for_each(|_| wake.signal());
        wake.clear();
        assert!(!signalled(&wake));
        wake.signal();
        assert!(signalled(&wake) && !signalled(&wake));
        Ok(())
    }

    /// However signals and looks interleave, every item put before a signal is seen.
    #[test]
    fn no_signal_is_lost_under_contention() -> Result<()> {
        use std::sync::{Arc, atomic::AtomicUsize};
        const ITEMS: usize = 50_000;
        let (wake, put) = (Arc::new(WakeFd::new()?), Arc::new(AtomicUsize::new(0)));
        let writer = {
            let (wake, put) = (Arc::clone(&wake), Arc::clone(&put));
            std::thread::spawn(move || {
                for _ in 0..ITEMS {
                    put.fetch_add(1, Ordering::Release);
                    wake.signal();
                }
            })
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut seen = 0;
        while seen < ITEMS {
            assert!(std::time::Instant::now() < deadline, "stuck after {seen} items");
            if signalled(&wake) {
                wake.clear();
                seen = put.load(Ordering::Acquire);
            }
        }
        writer.join().expect("the writer");
        Ok(())
    }
}
