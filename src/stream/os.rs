//! What the operating system says of this process and machine. The one place that asks it.

/// Largest resident memory of this process so far, in bytes, where the system tells.
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The machine in words: operating system, architecture, processor where known, and how many cores may be used.
#[must_use]
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = processor().map(|p| format!(", {p}")).unwrap_or_default();
    format!("{} {}{processor}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH)
}

/// The vector instructions of this processor that numerical code can use, by name.
#[must_use]
pub fn simd() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
            ("avx", std::arch::is_x86_feature_detected!("avx")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        all.into_iter().filter(|f| f.1).map(|f| f.0).collect()
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

/// The NVIDIA driver or board that this machine reports, where there is one.
#[must_use]
pub fn gpu() -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let files = ["/proc/driver/nvidia/version", "/etc/nv_tegra_release"];
        let text = files.iter().find_map(|f| std::fs::read_to_string(f).ok())?;
        Some(text.lines().next()?.trim().to_owned())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

fn processor() -> Option<String> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        let named = text.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split_once(':'));
        // Boards name themselves rather than their processor.
        let board = || std::fs::read_to_string("/proc/device-tree/model").ok();
        named.map(|n| n.1.to_owned()).or_else(board).map(|n| n.trim_matches([' ', '\0', '\n']).to_owned())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_the_peak() {
        assert!(super::peak_memory_bytes().is_some_and(|b| b > 100_000));
    }
}
