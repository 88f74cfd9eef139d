mod files;
mod finding;
