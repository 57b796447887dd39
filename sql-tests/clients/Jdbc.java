import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Properties;

/**
 * What a program with pgjdbc does: it prints one line for each thing tried, and the test compares the lines.
 *
 * Arguments: the URL, and the names of the tables of the fixtures: customers, stock, orders.
 */
public final class Jdbc {
    private static String customers;
    private static String stock;
    private static String orders;

    public static void main(String[] arguments) throws Exception {
        customers = arguments[1];
        stock = arguments[2];
        orders = arguments[3];
        Properties properties = new Properties();
        properties.setProperty("user", "ann");
        // Named statements and binary results from the first execution on.
        properties.setProperty("prepareThreshold", "1");
        try (Connection connection = DriverManager.getConnection(arguments[0], properties)) {
            say("product", connection.getMetaData().getDatabaseProductName());
            query(connection);
            parameters(connection);
            types(connection);
            fetchSize(connection);
            metadata(connection);
            errors(connection);
            transaction(connection);
            timeout(connection);
            say("valid", connection.isValid(5));
        }
    }

    private static void query(Connection connection) throws SQLException {
        String sql = "SELECT c.name, o.quantity, s.price FROM " + orders + " o JOIN " + customers
            + " c ON c.id = o.customer_id JOIN " + stock + " s ON s.sku = o.sku ORDER BY o.id";
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            while (rows.next()) {
                say("join", rows.getString("name") + " " + rows.getInt("quantity") + " " + rows.getBigDecimal("price"));
            }
        }
    }

    private static void parameters(Connection connection) throws SQLException {
        String sql = "SELECT id, name FROM " + customers + " WHERE name = ? OR balance > ? OR born = ? ORDER BY id";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 3; round++) {
                statement.setString(1, round == 1 ? "ann" : "Ann");
                statement.setBigDecimal(2, new BigDecimal("1000.00"));
                statement.setObject(3, LocalDate.of(2000, 2, 29));
                StringBuilder line = new StringBuilder();
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        line.append(rows.getInt(1)).append(' ');
                    }
                }
                say("parameters", line.toString().trim());
            }
        }
        String any = "SELECT count(*) FROM " + customers + " WHERE id = ANY (?)";
        try (PreparedStatement statement = connection.prepareStatement(any)) {
            statement.setArray(1, connection.createArrayOf("int4", new Integer[] {1, 3, 9}));
            say("array parameter", single(statement.executeQuery()));
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?::timestamptz, ?::int8 + 1, ? IS NULL")) {
            statement.setObject(1, OffsetDateTime.of(2024, 3, 1, 12, 0, 0, 0, ZoneOffset.ofHours(2)));
            statement.setLong(2, 41);
            statement.setNull(3, java.sql.Types.VARCHAR);
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                say("values", rows.getObject(1, OffsetDateTime.class).toInstant() + " " + rows.getLong(2) + " " + rows.getBoolean(3));
            }
        }
    }

    private static void types(Connection connection) throws SQLException {
        String sql = "SELECT 1::int2, 2::int4, 3::int8, 1.50::numeric(10,2), 0.1::float4, 0.1::float8, true, 'text'::text, "
            + "'\\x00ff'::bytea, DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56.789', "
            + "TIMESTAMPTZ '2024-02-29 12:34:56+02', TIME '01:02:03', ARRAY[1, NULL, 3], NULL::text";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 2; round++) {
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    ResultSetMetaData columns = rows.getMetaData();
                    StringBuilder names = new StringBuilder();
                    for (int column = 1; column <= columns.getColumnCount(); column++) {
                        names.append(columns.getColumnTypeName(column)).append(' ');
                    }
                    say("types", names.toString().trim());
                    Array array = rows.getArray(14);
                    say("numbers", rows.getShort(1) + " " + rows.getInt(2) + " " + rows.getLong(3) + " " + rows.getBigDecimal(4)
                        + " " + rows.getFloat(5) + " " + rows.getDouble(6) + " " + rows.getBoolean(7));
                    say("others", rows.getString(8) + " " + Arrays.toString(rows.getBytes(9)) + " " + rows.getDate(10)
                        + " " + rows.getObject(11, LocalDateTime.class) + " " + rows.getObject(12, OffsetDateTime.class).toInstant()
                        + " " + rows.getTime(13) + " " + Arrays.toString((Object[]) array.getArray()) + " " + rows.getString(15));
                }
            }
        }
    }

    private static void fetchSize(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(1000);
            long count = 0;
            long sum = 0;
            try (ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 25000) AS t(value)")) {
                while (rows.next()) {
                    count++;
                    sum += rows.getLong(1);
                }
            }
            say("fetch size", count + " " + sum);
            // Left behind half read: the next statement does not mind.
            try (ResultSet rows = statement.executeQuery("SELECT value FROM generate_series(1, 25000) AS t(value)")) {
                rows.next();
                say("half read", rows.getLong(1));
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void metadata(Connection connection) throws SQLException {
        String[] parts = stock.split("\\.");
        try (ResultSet columns = connection.getMetaData().getColumns(null, parts[0] + "." + parts[1], parts[2], "%")) {
            while (columns.next()) {
                say("column", columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME") + " "
                    + columns.getInt("COLUMN_SIZE") + " " + columns.getInt("DECIMAL_DIGITS"));
            }
        }
        try (ResultSet tables = connection.getMetaData().getTables(null, parts[0] + ".%", parts[2], new String[] {"TABLE"})) {
            while (tables.next()) {
                say("table", tables.getString("TABLE_SCHEM") + " " + tables.getString("TABLE_NAME"));
            }
        }
    }

    private static void errors(Connection connection) {
        String[] wrong = {"SELECT 1/0", "SELECT nope FROM " + stock, "SELECT * FROM nope.nope", "SELEC 1", "SELECT 2147483647 + 1"};
        for (String sql : wrong) {
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
                rows.next();
                say("error", "none");
            } catch (SQLException error) {
                say("error", error.getSQLState());
            }
        }
    }

    private static void transaction(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1/0");
        } catch (SQLException error) {
            say("in transaction", error.getSQLState());
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1");
        } catch (SQLException error) {
            say("after the error", error.getSQLState());
        }
        connection.rollback();
        try (Statement statement = connection.createStatement()) {
            say("after rollback", single(statement.executeQuery("SELECT 1")));
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void timeout(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            statement.executeQuery("SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000) b ON a.value % 7 = b.value % 5");
            say("timeout", "none");
        } catch (SQLException error) {
            say("timeout", error.getSQLState());
        }
    }

    private static String single(ResultSet rows) throws SQLException {
        rows.next();
        return rows.getString(1);
    }

    private static void say(String what, Object value) {
        System.out.println(what + ": " + value);
    }

    private Jdbc() {}
}
