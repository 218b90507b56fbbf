//! Maps and series as files; one file for each format.
