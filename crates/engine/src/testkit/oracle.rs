//! The declarative second opinion.
