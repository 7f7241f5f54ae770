//! Figures of this process, read from `/proc` at each scrape. What the kernel does not show is left out.

use std::fs;

use super::family;
use super::text::Page;

/// Clock ticks a second in `/proc`: the same on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the figures of this process.
pub fn put(page: &mut Page) {
    if let Some(times) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(times_of) {
        page.put(&family::PROCESS_CPU, [], times.processor);
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| number_after(&text, "btime "));
        if let Some(boot) = boot {
            page.put(&family::PROCESS_START, [], as_real(boot) + times.start);
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kibioctets) = number_after(&status, "VmRSS:") {
            page.put(&family::PROCESS_RESIDENT, [], kibioctets.saturating_mul(1024));
        }
        if let Some(kibioctets) = number_after(&status, "VmSize:") {
            page.put(&family::PROCESS_VIRTUAL, [], kibioctets.saturating_mul(1024));
        }
        if let Some(threads) = number_after(&status, "Threads:") {
            page.put(&family::PROCESS_THREADS, [], threads);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The listing holds one itself.
        page.put(&family::PROCESS_OPEN_FDS, [], open.count().saturating_sub(1));
    }
    if let Some(most) =
        fs::read_to_string("/proc/self/limits").ok().and_then(|text| number_after(&text, "Max open files"))
    {
        page.put(&family::PROCESS_MAX_FDS, [], most);
    }
}

struct Times {
    /// Seconds of processor time.
    processor: f64,
    /// Seconds from the start of the machine to that of the process.
    start: f64,
}

/// The fields 14, 15 and 22 of `/proc/PID/stat`. The name before them may hold anything, but no closing bracket comes after it.
fn times_of(stat: &str) -> Option<Times> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = behind_name.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    let ticks = |number: usize| fields.get(number - 4).map(|ticks| as_real(*ticks) / TICKS_PER_SECOND);
    Some(Times { processor: ticks(14)? + ticks(15)?, start: ticks(22)? })
}

/// The number that follows a text at the start of a line.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "seconds and ticks of a machine's life are below 2^53")]
const fn as_real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 123400 1 2 3";
        let times = times_of(stat).unwrap();
        assert!((times.processor - 2.0).abs() < 1e-9 && (times.start - 1234.0).abs() < 1e-9);
        assert!(times_of("nonsense").is_none());
    }

    // [MET-22]
    #[test]
    fn this_process_has_all_figures() {
        let mut page = Page::default();
        put(&mut page);
        let text = page.render();
        for description in crate::metrics::ALL.iter().filter(|description| description.name.starts_with("process_")) {
            assert!(text.contains(&format!("\n{} ", description.name)), "{}:\n{text}", description.name);
        }
    }
}
