//! Expressions over the columns of a batch; the only place that names `DataFusion`.
