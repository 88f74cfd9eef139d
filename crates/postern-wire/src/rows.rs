//! RowDescription and DataRow, which carry what a statement returned.

use crate::WireError;
use crate::reader::Reader;
use std::fmt;

/// One column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Output name.
    pub name: &'a str,
    /// OID of the table it comes from; 0 when it is computed.
    pub table_oid: u32,
    /// Attribute number in that table; 0 when it is computed.
    pub column: i16,
    /// OID of its type.
    pub type_oid: u32,
    /// Size of the type in bytes; negative for variable width.
    pub size: i16,
    /// Type modifier.
    pub modifier: i32,
    /// Format: 0 text, 1 binary.
    pub format: u16,
}

fn field<'a>(r: &mut Reader<'a>) -> Result<Field<'a>, WireError> {
    Ok(Field {
        name: r.cstr()?,
        table_oid: r.u32()?,
        column: r.i16()?,
        type_oid: r.u32()?,
        size: r.i16()?,
        modifier: r.i32()?,
        format: r.format()?,
    })
}

/// The columns of the rows to come; checked in full.
#[derive(Clone, Copy)]
pub struct RowDescription<'a> {
    count: u16,
    fields: Reader<'a>,
}

impl<'a> RowDescription<'a> {
    pub(crate) fn decode(mut r: Reader<'a>) -> Result<Self, WireError> {
        let count = r.u16()?;
        let fields = r;
        for _ in 0..count {
            field(&mut r)?;
        }
        r.finish()?;
        Ok(RowDescription { count, fields })
    }

    /// Checks the body of a RowDescription that was kept.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn from_body(body: &'a [u8]) -> Result<Self, WireError> {
        RowDescription::decode(Reader::new("RowDescription", body))
    }

    /// How many columns.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether the rows have no columns, as those of `SELECT` without a list have.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut reader = self.fields;
        (0..self.count).map_while(move |_| field(&mut reader).ok())
    }
}

impl PartialEq for RowDescription<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.fields.rest() == other.fields.rest()
    }
}

impl Eq for RowDescription<'_> {}

impl fmt::Debug for RowDescription<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields()).finish()
    }
}

/// One row; checked in full.
#[derive(Clone, Copy)]
pub struct DataRow<'a> {
    count: u16,
    columns: Reader<'a>,
}

impl<'a> DataRow<'a> {
    /// Checks the body of a DataRow. The same as `decode_backend`, without its dispatch: for loops over bulk.
    ///
    /// # Errors
    /// `Malformed`.
    #[inline]
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new("DataRow", body);
        let count = r.u16()?;
        let columns = r;
        for _ in 0..count {
            r.value()?;
        }
        r.finish()?;
        Ok(DataRow { count, columns })
    }

    /// How many columns.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether the row has no columns.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in order; `None` is NULL.
    pub fn columns(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = self.columns;
        (0..self.count).map_while(move |_| reader.value().ok())
    }
}

impl PartialEq for DataRow<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.columns.rest() == other.columns.rest()
    }
}

impl Eq for DataRow<'_> {}

// Values are the client's business.
impl fmt::Debug for DataRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataRow({} columns)", self.count)
    }
}
