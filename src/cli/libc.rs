//! What the program asks of its C library.

/// Let freed memory stay with the program.
///
/// A plan allocates and frees the same tensors for every frame. By default glibc gives blocks of their size back to
/// the system each time, and the system clears every page anew: a third of the time of a frame of 512 x 512. Other
/// C libraries keep them anyway.
pub(crate) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MAPPED_FROM: ::libc::c_int = 1 << 30;
        const TRIMMED_FROM: ::libc::c_int = 1 << 30;
        // SAFETY: called before any other thread is started; both are thresholds that glibc documents.
        unsafe {
            ::libc::mallopt(::libc::M_MMAP_THRESHOLD, MAPPED_FROM);
            ::libc::mallopt(::libc::M_TRIM_THRESHOLD, TRIMMED_FROM);
        }
    }
}

/// Give the system what was freed so far.
///
/// Preparing a plan leaves behind a few megabytes in pieces, which would count to the first frame's memory.
pub(crate) fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it only looks at what is free, under the locks of its own.
    unsafe {
        ::libc::malloc_trim(0);
    }
}

/// Its name and version.
pub(crate) fn name() -> String {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: a text that is part of the library.
        let version = unsafe { std::ffi::CStr::from_ptr(::libc::gnu_get_libc_version()) };
        format!("glibc {}", version.to_string_lossy())
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    if cfg!(target_env = "musl") { "musl, built in".to_owned() } else { "the system's".to_owned() }
}
