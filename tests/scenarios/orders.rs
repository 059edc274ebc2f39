//! The cases whose events may come in any order: every order, played.
