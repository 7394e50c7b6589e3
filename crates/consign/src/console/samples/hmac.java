import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

final class Receiver {
    /** Whether Consign sent this request. body is the bytes as they came. */
    static boolean verify(String secret, Map<String, String> headers, byte[] body) throws Exception {
        String id = headers.get("webhook-id");
        String timestamp = headers.get("webhook-timestamp");
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) {
            return false;
        }
        byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        byte[] expected = mac.doFinal(body);
        for (String given : headers.get("webhook-signature").split(" ")) {
            if (given.startsWith("v1,")
                    && MessageDigest.isEqual(expected, Base64.getDecoder().decode(given.substring(3)))) {
                return true;
            }
        }
        return false;
    }
}
