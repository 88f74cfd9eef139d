//! The example shop, as it is in `examples/shop`.

use crate::postgres::Server;
use anyhow::Context as _;

const ROLES: &str = include_str!("../../../examples/shop/roles.sql");
const SCHEMA: &str = include_str!("../../../examples/shop/schema.sql");
const DATA: &str = include_str!("../../../examples/shop/data.sql");

/// The database of the shop.
pub const DATABASE: &str = "demo";

/// Everything that decides what [`create`] makes, for recognising an older copy.
pub(crate) const SOURCES: [&str; 3] = [ROLES, SCHEMA, DATA];

/// Makes roles, database, tables and rows. `scale` 1 is a few hundred thousand rows.
///
/// # Errors
/// When PostgreSQL refuses something.
pub fn create(server: &Server, backend_password: &str, scale: f64) -> anyhow::Result<()> {
    let scale = format!("scale={scale}");
    let password = format!("password={backend_password}");
    let quietly = ["-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"];
    server
        .psql("postgres", &[&quietly[..], &["-v", &password]].concat(), ROLES)
        .context("making the roles")?;
    server
        .psql(
            "postgres",
            &quietly,
            &format!("CREATE DATABASE {DATABASE} OWNER owner;"),
        )
        .context("making the database")?;
    let as_owner = |sql: &str| format!("SET ROLE owner;\n{sql}");
    server
        .psql(DATABASE, &quietly, &as_owner(SCHEMA))
        .context("making the tables")?;
    server
        .psql(
            DATABASE,
            &[&quietly[..], &["-v", &scale]].concat(),
            &as_owner(DATA),
        )
        .context("making the rows")?;
    Ok(())
}
