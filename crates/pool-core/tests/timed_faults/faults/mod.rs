//! The rows, a file for each family.

mod answers;
mod clients;
mod network;
mod ours;
mod process;
