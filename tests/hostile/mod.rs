//! Hostile input, given to the whole program: each run must fail with the right exit code and a
//! clear message (`tests/golden/hostile`), in bounded memory, and leave everything as it was; or
//! take the input, and give a result as good as any.

mod accounts;
mod archives;
mod cache;
mod costs;
mod documents;
mod environment;
mod layers;
mod layouts;
mod names;
mod outputs;
mod races;
mod signals;
mod sources;
mod specs;
