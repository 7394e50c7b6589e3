//! Everything that is logged, down to TRACE, and every panic of any task.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::filter::LevelFilter;

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static PANICS: AtomicUsize = AtomicUsize::new(0);

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts to listen, once per process.
pub(crate) fn listen() {
    static START: Once = Once::new();
    START.call_once(|| {
        let log = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(|| Sink);
        log.init();
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            default(panic);
        }));
    });
}

/// The log so far.
pub(crate) fn logged() -> Vec<u8> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Panics so far, those of tasks that nobody waited for included.
pub(crate) fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}

/// The last lines of the log, for a test that fails; not those of each time that it looked.
pub(crate) fn tail(lines: usize) -> String {
    let text = String::from_utf8_lossy(&logged()).into_owned();
    let looked = |line: &&str| line.contains("consign::request") && line.contains(r#"method="GET""#);
    let own = text.lines().filter(|line| line.contains("consign") && !line.contains(" TRACE "));
    let own: Vec<_> = own.filter(|line| !looked(line)).collect();
    own[own.len().saturating_sub(lines)..].join("\n")
}
