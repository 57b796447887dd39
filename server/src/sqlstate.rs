//! The SQLSTATEs this server answers with. Clients branch on them; their texts are free.

/// A five-character SQLSTATE of PostgreSQL's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState(&'static str);

impl SqlState {
    /// The client broke the protocol.
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    /// Causeway does not do this.
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// More than one row from a scalar subquery.
    pub const CARDINALITY_VIOLATION: Self = Self("21000");
    /// A number does not fit its type.
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self("22003");
    /// A date or time is out of its range.
    pub const DATETIME_OVERFLOW: Self = Self("22008");
    /// A date or time text is not one.
    pub const INVALID_DATETIME_FORMAT: Self = Self("22007");
    /// Division by zero.
    pub const DIVISION_BY_ZERO: Self = Self("22012");
    /// A pattern is no regular expression.
    pub const INVALID_REGULAR_EXPRESSION: Self = Self("2201B");
    /// ntile wants at least one bucket.
    pub const INVALID_NTILE: Self = Self("22014");
    /// A logarithm that no number is.
    pub const INVALID_LOGARITHM: Self = Self("2201E");
    /// A root or a power that no number is.
    pub const INVALID_POWER: Self = Self("2201F");
    /// A LIMIT is negative.
    pub const INVALID_LIMIT: Self = Self("2201W");
    /// A text is longer than its column.
    pub const STRING_DATA_RIGHT_TRUNCATION: Self = Self("22001");
    /// An OFFSET is negative.
    pub const INVALID_OFFSET: Self = Self("2201X");
    /// A parameter of a setting is wrong.
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    /// Bytes that are no text of the client's encoding.
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self("22021");
    /// Bytes are not a value of the type they are sent for.
    pub const INVALID_BINARY_REPRESENTATION: Self = Self("22P03");
    /// A text is not a value of the type it is cast to.
    pub const INVALID_TEXT_REPRESENTATION: Self = Self("22P02");
    /// A NULL in a column that is NOT NULL.
    pub const NOT_NULL_VIOLATION: Self = Self("23502");
    /// A key that is there already.
    pub const UNIQUE_VIOLATION: Self = Self("23505");
    /// A command that cannot run in a transaction block.
    pub const ACTIVE_SQL_TRANSACTION: Self = Self("25001");
    /// A write in a transaction, or to a catalog, that is only read.
    pub const READ_ONLY_SQL_TRANSACTION: Self = Self("25006");
    /// Other objects depend on what is to be dropped.
    pub const DEPENDENT_OBJECTS_STILL_EXIST: Self = Self("2BP01");
    /// A savepoint outside of a transaction block.
    pub const NO_ACTIVE_SQL_TRANSACTION: Self = Self("25P01");
    /// No such savepoint.
    pub const INVALID_SAVEPOINT: Self = Self("3B001");
    /// A portal that has run cannot run again.
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self("55000");
    /// A statement in a failed transaction block.
    pub const IN_FAILED_SQL_TRANSACTION: Self = Self("25P02");
    /// No such prepared statement.
    pub const INVALID_SQL_STATEMENT_NAME: Self = Self("26000");
    /// The login names something that may not log in.
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    /// The password is wrong, or the user does not exist.
    pub const INVALID_PASSWORD: Self = Self("28P01");
    /// No such catalog.
    pub const UNDEFINED_CATALOG: Self = Self("3D000");
    /// No such portal or cursor.
    pub const INVALID_CURSOR_NAME: Self = Self("34000");
    /// No such schema.
    pub const UNDEFINED_SCHEMA: Self = Self("3F000");
    /// What was read changed meanwhile.
    pub const SERIALIZATION_FAILURE: Self = Self("40001");
    /// The syntax is wrong.
    pub const SYNTAX_ERROR: Self = Self("42601");
    /// The user or the source's login may not.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    /// A column is named twice.
    pub const DUPLICATE_COLUMN: Self = Self("42701");
    /// A name of a column could mean several.
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    /// No such column.
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    /// An alias is given twice.
    pub const DUPLICATE_ALIAS: Self = Self("42712");
    /// A function of another kind.
    pub const WRONG_OBJECT_TYPE: Self = Self("42809");
    /// A type that cannot be cast to another.
    pub const CANNOT_COERCE: Self = Self("42846");
    /// A column or position that may not stand there.
    pub const INVALID_COLUMN_REFERENCE: Self = Self("42P10");
    /// A window function that may not stand there.
    pub const WINDOWING_ERROR: Self = Self("42P20");
    /// A name's syntax is wrong.
    pub const INVALID_NAME: Self = Self("42602");
    /// There is no such object.
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    /// A column is neither grouped nor aggregated.
    pub const GROUPING_ERROR: Self = Self("42803");
    /// A schema of that name is there already.
    pub const DUPLICATE_SCHEMA: Self = Self("42P06");
    /// A table or view of that name is there already.
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    /// A table is defined wrongly.
    pub const INVALID_TABLE_DEFINITION: Self = Self("42P16");
    /// Types do not fit together.
    pub const DATATYPE_MISMATCH: Self = Self("42804");
    /// No such function, or none with such arguments.
    pub const UNDEFINED_FUNCTION: Self = Self("42883");
    /// No such parameter of the statement.
    pub const UNDEFINED_PARAMETER: Self = Self("42P02");
    /// No such table.
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    /// A portal or cursor of that name is there already.
    pub const DUPLICATE_CURSOR: Self = Self("42P03");
    /// A prepared statement of that name is there already.
    pub const DUPLICATE_PREPARED_STATEMENT: Self = Self("42P05");
    /// A name could mean several objects.
    pub const AMBIGUOUS_ALIAS: Self = Self("42P09");
    /// The disk, or a limit on its space, is full.
    pub const DISK_FULL: Self = Self("53100");
    /// Memory is used up.
    pub const OUT_OF_MEMORY: Self = Self("53200");
    /// Too many connections, here or at a source.
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    /// A limit of this server forbids it.
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    /// A select list has too many columns.
    pub const TOO_MANY_COLUMNS: Self = Self("54011");
    /// The statement is nested or chained too deeply.
    pub const STATEMENT_TOO_COMPLEX: Self = Self("54001");
    /// Another transaction writes, and did not end in time.
    pub const LOCK_NOT_AVAILABLE: Self = Self("55P03");
    /// Cancelled by the user or by a timeout.
    pub const QUERY_CANCELED: Self = Self("57014");
    /// The server is stopping.
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    /// A source answered with an error or with data that cannot be read.
    pub const FDW_ERROR: Self = Self("HV000");
    /// A source cannot be reached, or refuses the login.
    pub const FDW_UNABLE_TO_ESTABLISH_CONNECTION: Self = Self("HV00N");
    /// A fault of this server.
    pub const INTERNAL_ERROR: Self = Self("XX000");

    /// The five characters.
    pub fn code(self) -> &'static str {
        self.0
    }
}
