import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;

final class Receiver {
    /** Whether Consign sent this request. body is the bytes as they came. */
    static boolean verify(String publicKey, Map<String, String> headers, byte[] body) throws Exception {
        String id = headers.getOrDefault("webhook-id", "");
        String timestamp = headers.getOrDefault("webhook-timestamp", "");
        if (!timestamp.matches("[0-9]{1,12}")
                || Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) {
            return false;
        }
        ByteArrayOutputStream encoded = new ByteArrayOutputStream();
        // What comes before the 32 bytes of an Ed25519 key in its X.509 form (RFC 8410).
        encoded.write(HexFormat.of().parseHex("302a300506032b6570032100"));
        encoded.write(Base64.getDecoder().decode(publicKey.replaceFirst("^whpk_", "")));
        PublicKey key = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded.toByteArray()));
        for (String given : headers.getOrDefault("webhook-signature", "").split(" ")) {
            // 64 bytes are 88 characters of Base64.
            if (given.matches("v1a,[A-Za-z0-9+/]{86}==")) {
                Signature signature = Signature.getInstance("Ed25519");
                signature.initVerify(key);
                signature.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
                signature.update(body);
                if (signature.verify(Base64.getDecoder().decode(given.substring(4)))) {
                    return true;
                }
            }
        }
        return false;
    }
}
