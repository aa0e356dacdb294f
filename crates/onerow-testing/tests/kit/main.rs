//! What the test kit promises, from outside, as those see it who test their migrations with it.

mod apply;
mod databases;
mod programs;
mod roles;
mod rows;
mod servers;
mod templates;
