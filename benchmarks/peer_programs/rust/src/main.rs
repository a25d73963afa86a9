//! dom_smoothie as a program: pages on standard input, texts and CPU seconds on standard output, as python_peers.py.

use dom_smoothie::Readability;
use std::io::{stdin, stdout, Read, Write};
use std::panic::catch_unwind;

/// CPU seconds of the process.
fn spent() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// A page at which it fails has no text.
fn text_of(page: &str) -> String {
    catch_unwind(|| Readability::new(page, None, None).ok()?.parse().ok().map(|found| found.text_content.to_string()))
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut source, mut sink) = (stdin().lock(), stdout().lock());
    let mut length = [0u8; 4];
    while source.read_exact(&mut length).is_ok() {
        let mut page = vec![0u8; u32::from_le_bytes(length) as usize];
        source.read_exact(&mut page).expect("a whole page");
        let page = String::from_utf8(page).expect("UTF-8");
        let start = spent();
        let text = text_of(&page);
        let took = spent() - start;
        sink.write_all(&took.to_le_bytes()).unwrap();
        sink.write_all(&(text.len() as u32).to_le_bytes()).unwrap();
        sink.write_all(text.as_bytes()).unwrap();
        sink.flush().unwrap();
    }
}
