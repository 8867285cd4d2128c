// A threaded HTTP application with a HikariCP pool of connections to PostgreSQL: app.py in Java.
//
// java -cp HikariCP.jar:slf4j-api.jar:postgresql.jar app.java ADDRESS POSTGRES POOL

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import com.zaxxer.hikari.metrics.IMetricsTracker;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

class App {
    /** The pool does not count who found no connection free, but times each: what takes longer was a wait. */
    static final long WAIT_NS = TimeUnit.MILLISECONDS.toNanos(1);

    static final Truth truth = new Truth();
    static final Level waiting = new Level("waiting_s");
    static final Level inside = new Level("inside_s");
    static HikariDataSource pool;

    public static void main(String[] arguments) throws IOException {
        pool = open(arguments[1], Integer.parseInt(arguments[2]));
        Thread levels = new Thread(App::everySecond);
        levels.setDaemon(true);
        levels.start();
        HttpServer server = HttpServer.create(address(arguments[0]), 128);
        server.setExecutor(Executors.newFixedThreadPool(64));
        server.createContext("/", App::handle);
        server.start();
        System.out.println("ready 0");
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (!line.equals("truth")) throw new IllegalArgumentException(line);
            System.out.println(truth.report());
        }
        System.exit(0);
    }

    static InetSocketAddress address(String text) {
        String[] parts = text.split(":");
        return new InetSocketAddress(parts[0], Integer.parseInt(parts[1]));
    }

    /** All connections of the pool are made now, so that it does not grow later. */
    static HikariDataSource open(String postgres, int size) {
        var config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + postgres + "/postgres?user=postgres&sslmode=disable&gssEncMode=disable");
        config.setMaximumPoolSize(size);
        config.setMinimumIdle(size);
        config.setConnectionTimeout(60_000);
        config.setMetricsTrackerFactory((name, stats) -> new IMetricsTracker() {
            @Override
            public void recordConnectionAcquiredNanos(long waitedNs) {
                truth.add(Map.of("checkouts", 1.0, "waited", waitedNs >= WAIT_NS ? 1.0 : 0.0, "wait_s", waitedNs / 1e9));
            }
        });
        var pool = new HikariDataSource(config);
        while (pool.getHikariPoolMXBean().getTotalConnections() < size) pause(10);
        return pool;
    }

    static void work() throws SQLException {
        Connection taken;
        waiting.change(1);
        try {
            taken = pool.getConnection();
        } finally {
            waiting.change(-1);
        }
        long since = System.nanoTime();
        try (Connection connection = taken; Statement statement = connection.createStatement()) {
            statement.execute("SELECT work()");
            truth.add(Map.of("service_s", (System.nanoTime() - since) / 1e9));
        }
    }

    static void handle(HttpExchange exchange) throws IOException {
        long began = System.nanoTime();
        inside.change(1);
        try {
            work();
        } catch (SQLException error) {
            throw new IOException(error);
        } finally {
            inside.change(-1);
        }
        truth.add(Map.of("requests", 1.0, "request_s", (System.nanoTime() - began) / 1e9));
        byte[] body = "ok\n".getBytes();
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    /** At the very end of the second, so that what is added is still of it. */
    static void everySecond() {
        while (true) {
            pause(1000 - (System.currentTimeMillis() + 5) % 1000);
            waiting.change(0);
            inside.change(0);
        }
    }

    static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException never) {
            throw new IllegalStateException(never);
        }
    }

    /** What the application knows of itself, summed by the second in which it ended. */
    static class Truth {
        private final Map<Long, Map<String, Double>> seconds = new TreeMap<>();

        synchronized void add(Map<String, Double> sums) {
            var second = seconds.computeIfAbsent(System.currentTimeMillis() / 1000, t -> new TreeMap<>());
            sums.forEach((name, value) -> second.merge(name, value, Double::sum));
        }

        synchronized String report() {
            return seconds.entrySet().stream()
                .map(second -> second.getValue().entrySet().stream()
                    .map(sum -> ",\"" + sum.getKey() + "\":" + sum.getValue())
                    .collect(Collectors.joining("", "{\"t\":" + second.getKey(), "}")))
                .collect(Collectors.joining(",", "[", "]"));
        }
    }

    /** How many there are of something, added up over time: divided by the seconds, the mean. */
    static class Level {
        private final String name;
        private long level;
        private long since;

        Level(String name) {
            this.name = name;
        }

        synchronized void change(long by) {
            long now = System.nanoTime();
            if (level > 0) truth.add(Map.of(name, level * (now - since) / 1e9));
            level += by;
            since = now;
        }
    }
}
