using System;
using System.Collections.Generic;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

static class Receiver
{
    /// Whether Consign sent this request. body is the bytes as they came.
    public static bool Verify(string secret, IDictionary<string, string> headers, byte[] body)
    {
        headers.TryGetValue("webhook-id", out string id);
        headers.TryGetValue("webhook-timestamp", out string timestamp);
        headers.TryGetValue("webhook-signature", out string signatures);
        if (!long.TryParse(timestamp, out long seconds)
            || Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - seconds) > 300)
        {
            return false;
        }
        byte[] key = Convert.FromBase64String(secret.StartsWith("whsec_") ? secret[6..] : secret);
        byte[] content = Encoding.UTF8.GetBytes($"{id}.{timestamp}.").Concat(body).ToArray();
        byte[] expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(HMACSHA256.HashData(key, content)));
        return (signatures ?? "").Split(' ')
            .Any(given => CryptographicOperations.FixedTimeEquals(expected, Encoding.UTF8.GetBytes(given)));
    }
}
