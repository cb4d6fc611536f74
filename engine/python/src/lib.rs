//! The Python module `sidecar._engine`: a thin PyO3 binding over `perdure_engine`, nothing else.
//! Every call of `Engine` returns at once; no call holds the GIL while it waits for a lock or a
//! disk. Documents cross as JSON text.

#![allow(missing_docs)] // the module's documentation is `sidecar/_engine.pyi`

use std::collections::HashMap;
use std::path::PathBuf;

use perdure_engine::border::log_files::CheckOptions;
use perdure_engine::border::{EngineHandle, files, log_files};
use perdure_engine::error;
use perdure_engine::rdb::InspectOptions;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

pyo3::create_exception!(sidecar._engine, EngineError, PyException);

/// Make the Python exception of a typed error, with its fields as attributes.
fn raise(py: Python<'_>, error: &error::EngineError) -> PyErr {
    let made = EngineError::new_err(error.message.clone());
    let context: HashMap<&str, &str> =
        error.context.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let value = made.value(py);
    let set = value
        .setattr("code", error.code)
        .and_then(|()| value.setattr("message", &error.message))
        .and_then(|()| value.setattr("hint", &error.hint))
        .and_then(|()| value.setattr("is_retryable", error.is_retryable))
        .and_then(|()| value.setattr("context", context));
    set.err().unwrap_or(made)
}

/// One running engine.
#[pyclass(frozen, module = "sidecar._engine")]
struct Engine {
    handle: EngineHandle,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, options_json: &str) -> PyResult<Self> {
        py.detach(|| EngineHandle::start(options_json))
            .map(|handle| Self { handle })
            .map_err(|error| raise(py, &error))
    }

    fn ports(&self) -> HashMap<&'static str, u16> {
        let (resp, data) = self.handle.ports();
        HashMap::from([("resp", resp), ("data", data)])
    }

    fn event_fd(&self) -> i32 {
        self.handle.event_fd()
    }

    fn take_events(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.handle.take_events())
    }

    fn stats(&self, py: Python<'_>) -> String {
        py.detach(|| self.handle.stats())
    }

    fn cut(&self, py: Python<'_>, path: String, purpose: String) -> u64 {
        py.detach(|| self.handle.cut(path, purpose))
    }

    fn verify(&self, py: Python<'_>, path: String) -> u64 {
        py.detach(|| self.handle.verify(path))
    }

    fn load_beside(&self, py: Python<'_>, path: String) -> u64 {
        py.detach(|| self.handle.load_beside(path))
    }

    fn discard(&self, py: Python<'_>, stage: u64) -> u64 {
        py.detach(|| self.handle.discard(stage))
    }

    fn commit(&self, py: Python<'_>, stage: u64, safety_path: String) -> u64 {
        py.detach(|| self.handle.commit(stage, safety_path))
    }

    fn cancel(&self, py: Python<'_>, job: u64) {
        py.detach(|| self.handle.cancel(job));
    }

    fn config_get(&self, py: Python<'_>, pattern: String) -> u64 {
        py.detach(|| self.handle.config_get(pattern))
    }

    fn config_set(&self, py: Python<'_>, pairs: Vec<(String, String)>) -> u64 {
        py.detach(|| self.handle.config_set(pairs))
    }

    #[pyo3(signature = (save))]
    fn stop(&self, py: Python<'_>, save: Option<bool>) -> u64 {
        py.detach(|| self.handle.stop(save))
    }
}

#[pyfunction]
#[pyo3(signature = (path, *, top, strict, progress))]
fn inspect_rdb(
    py: Python<'_>,
    path: PathBuf,
    top: usize,
    strict: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    read_telling(py, progress, |tell| {
        let options = InspectOptions { top, is_end_strict: strict, progress: tell };
        files::inspect(&path, options)
    })
}

#[pyfunction]
#[pyo3(signature = (path, *, fix, until_unix_ms, progress))]
fn check_log(
    py: Python<'_>,
    path: PathBuf,
    fix: bool,
    until_unix_ms: Option<i64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let options = CheckOptions { is_fixing: fix, until_unix_ms };
    read_telling(py, progress, |tell| log_files::check(&path, options, tell))
}

/// Read files without the GIL. What Python raises meanwhile (Ctrl-C, or in the callback) ends the
/// reading, and is raised.
fn read_telling(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    read: impl FnOnce(&mut dyn FnMut(u64, u64) -> bool) -> error::Result<String> + Send,
) -> PyResult<String> {
    let mut raised = None;
    let mut tell = |done: u64, total: u64| {
        let told = Python::attach(|py| {
            py.check_signals()?;
            progress.as_ref().map_or(Ok(()), |call| call.call1(py, (done, total)).map(drop))
        });
        raised = told.err();
        raised.is_none()
    };
    let found = py.detach(|| read(&mut tell));
    match raised {
        Some(raised) => Err(raised),
        None => found.map_err(|error| raise(py, &error)),
    }
}

/// The module.
#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add_function(wrap_pyfunction!(inspect_rdb, module)?)?;
    module.add_function(wrap_pyfunction!(check_log, module)?)?;
    module.add("EngineError", module.py().get_type::<EngineError>())
}
