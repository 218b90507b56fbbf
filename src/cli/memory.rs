//! How the program's allocator treats the tensors of a frame.

/// Let freed memory stay with the program.
///
/// A plan allocates and frees the same tensors for every frame. By default glibc gives blocks of their size back to
/// the system each time, and the system clears every page anew: a third of the time of a frame of 512 x 512. Other
/// C libraries keep them anyway.
pub(crate) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MAPPED_FROM: libc::c_int = 1 << 30;
        const TRIMMED_FROM: libc::c_int = 1 << 30;
        // SAFETY: called before any other thread is started; both are thresholds that glibc documents.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
            libc::mallopt(libc::M_TRIM_THRESHOLD, TRIMMED_FROM);
        }
    }
}
