//! Errors on their way to C: a value that says that there is one, and a text for the thread that called.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, anyhow};

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Why the last call of this thread that failed did so, one line; empty before the first. It stays until the next
/// failure of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn mollifier_last_error() -> *const c_char {
    LAST.with_borrow(|text| text.as_ptr())
}

/// Run the body of a function; an error or a panic is kept for [`mollifier_last_error`] and becomes `failed`.
pub(super) fn guarded<T>(failed: T, body: impl FnOnce() -> Result<T>) -> T {
    // What a panic leaves half done stands behind a mutex, which refuses it from then on.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(anyhow!("a bug: {}", told(&*panic))));
    result.unwrap_or_else(|error| {
        let text = format!("{error:#}").replace('\0', " ");
        LAST.with_borrow_mut(|last| *last = CString::new(text).unwrap_or_default());
        failed
    })
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

/// What a handle stands for.
///
/// # Safety
/// Null, or what the interface gave and did not take back.
pub(super) unsafe fn handle<'a, T>(pointer: *const T, what: &str) -> Result<&'a T> {
    // SAFETY: as the caller promises.
    unsafe { pointer.as_ref() }.with_context(|| format!("{what}: got null"))
}

/// A text from C.
///
/// # Safety
/// Null, or a text that ends in a zero.
pub(super) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(anyhow!("{what}: got null, expected a text"));
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| anyhow!("{what}: got bytes that are not UTF-8"))
}
