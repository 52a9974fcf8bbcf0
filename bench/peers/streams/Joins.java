import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;

/** The joins of joins.py in Kafka Streams, with its stores on disk and in changelogs: {@code WORK=streams|table java -cp 'lib/*' Joins.java}. */
public class Joins {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration WITHIN = Duration.ofSeconds(10);

    /** All members of the left, and those of the right that it has not. */
    private static byte[] both(byte[] left, byte[] right) {
        try {
            ObjectNode row = (ObjectNode) JSON.readTree(left);
            JsonNode other = JSON.readTree(right);
            other.fields().forEachRemaining(one -> {
                if (!row.has(one.getKey())) row.set(one.getKey(), one.getValue());
            });
            return JSON.writeValueAsBytes(row);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
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
        String[] topics = env.get("IN").split(",");
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> left = builder.stream(topics[0]);
        KStream<String, byte[]> out;
        if (env.get("WORK").equals("streams")) {
            KStream<String, byte[]> right = builder.stream(topics[1]);
            out = left.join(right, Joins::both, JoinWindows.ofTimeDifferenceWithNoGrace(WITHIN));
        } else {
            KTable<String, byte[]> right = builder.table(topics[1]);
            out = left.join(right, Joins::both);
        }
        out.to(env.get("OUT"));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }
}
