//! Lets go of parts of the core without the interpreter.

use pyo3::Python;
use std::{ops::Deref, sync::Arc};

/// An `Arc` whose last reference may end threads. Such a thread may be about to call Python, so
/// nobody may wait for it while holding the interpreter, as a Python object that goes does.
pub(super) struct Detached<T: Send + Sync + 'static>(Option<Arc<T>>);

impl<T: Send + Sync> Detached<T> {
    pub(super) fn new(inner: Arc<T>) -> Self {
        Self(Some(inner))
    }
}

impl<T: Send + Sync> Deref for Detached<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        self.0.as_ref().expect("only the drop takes it out")
    }
}

impl<T: Send + Sync> Drop for Detached<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        // Without an interpreter, at the end of the process, the closure is dropped with what it holds.
        let _ = Python::try_attach(move |py| py.detach(move || drop(inner)));
    }
}
