import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.KeyValueStore;

/** The workloads in Kafka Streams, whose counts are always on disk and in a changelog: {@code WORK=map|count|count-disk|window|hopping java -cp 'lib/*' Streams.java}. */
public class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration SIZE = Duration.ofSeconds(10);
    private static final Duration STEP = Duration.ofMillis(100);

    private static JsonNode read(byte[] bytes) {
        try {
            return JSON.readTree(bytes);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] write(JsonNode node) {
        try {
            return JSON.writeValueAsBytes(node);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] mapped(byte[] value) {
        JsonNode event = read(value);
        ObjectNode out = JSON.createObjectNode();
        out.set("id", event.get("id"));
        out.set("user", event.get("user"));
        out.put("eur", event.get("amount").asDouble() * 0.9);
        out.set("kind", event.get("kind"));
        return write(out);
    }

    private static KStream<String, byte[]> counts(KStream<String, byte[]> events) {
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store =
                Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts").withCachingDisabled();
        return events.groupByKey().count(store).toStream().mapValues((user, count) -> {
            ObjectNode out = JSON.createObjectNode();
            out.put("user", user);
            out.put("count", count);
            return write(out);
        });
    }

    private static byte[] add(byte[] value, byte[] pane) {
        ByteBuffer sums = ByteBuffer.wrap(pane.clone());
        double amount = read(value).get("amount").asDouble();
        sums.putLong(0, sums.getLong(0) + 1).putDouble(8, sums.getDouble(8) + amount);
        return sums.array();
    }

    private static KStream<String, byte[]> windows(KStream<String, byte[]> events, TimeWindows windows) {
        return events.groupByKey()
                .windowedBy(windows)
                .aggregate(() -> new byte[16], (user, value, pane) -> add(value, pane),
                        Materialized.with(Serdes.String(), Serdes.ByteArray()))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
                .toStream()
                .map((key, pane) -> {
                    ByteBuffer sums = ByteBuffer.wrap(pane);
                    ObjectNode out = JSON.createObjectNode();
                    out.put("user", key.key());
                    out.put("window_start_ms", key.window().start());
                    out.put("window_end_ms", key.window().end());
                    out.put("n", sums.getLong(0));
                    out.put("total", sums.getDouble(8));
                    return KeyValue.pair(key.key(), write(out));
                });
    }

    public static void main(String[] args) {
        Map<String, String> env = System.getenv();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", env.get("KAFKA"));
        settings.put("application.id", env.get("GROUP"));
        settings.put("state.dir", env.get("STATE"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("num.stream.threads", "2");
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.ByteArraySerde.class);
        settings.put("producer.linger.ms", "50");
        settings.put("producer.batch.size", "262144");
        settings.put("commit.interval.ms", "1000");
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> events = builder.stream(env.get("IN"));
        TimeWindows tumbling = TimeWindows.ofSizeWithNoGrace(SIZE);
        String work = env.get("WORK");
        if (work.equals("window") || work.equals("hopping")) {
            settings.put("default.timestamp.extractor", EventTime.class);
        }
        KStream<String, byte[]> out = switch (work) {
            case "map" -> events.mapValues(Streams::mapped);
            case "count", "count-disk" -> counts(events);
            case "window" -> windows(events, tumbling);
            case "hopping" -> windows(events, tumbling.advanceBy(STEP));
            default -> throw new IllegalArgumentException("no workload " + work);
        };
        out.to(env.get("OUT"));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }

    /** Reads event time from the field that has it. */
    public static class EventTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
            return read((byte[]) record.value()).get("ts").asLong();
        }
    }
}
