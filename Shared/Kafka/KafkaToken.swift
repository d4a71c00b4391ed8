import CRdKafka
import Foundation

/// A JWT from a file, for SASL's OAUTHBEARER (RFC 7628, KIP-255). Somebody else keeps the file fresh: a projected service-account token, or an
/// agent beside the program. Debian's librdkafka cannot fetch tokens by itself: it is built without OpenID Connect.
struct KafkaToken: Equatable {
    /// A file larger than this is no token.
    static let sizeLimit = 65_536

    let text: String
    /// Milliseconds since 1970, as the library wants it.
    let expiresAt: Int64
    let principal: String

    struct Unusable: Error, Equatable {
        /// Says nothing of the token itself.
        let reason: String
    }

    /// Reads the claims `exp` and `sub`; the broker checks the rest, and the signature.
    init(_ file: String) throws(Unusable) {
        let token = file.trimmingCharacters(in: .whitespacesAndNewlines)
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard token.utf8.count <= Self.sizeLimit, parts.count == 3, let claims = Self.decoded(parts[1]) else {
            throw Unusable(reason: "the file does not hold a JWT")
        }
        guard let object = try? JSONSerialization.jsonObject(with: claims) as? [String: Any], let expiry = object["exp"] as? Double else {
            throw Unusable(reason: "the token does not say when it expires")
        }
        text = token
        expiresAt = Int64(expiry * 1_000)
        principal = object["sub"] as? String ?? "trionex"
    }

    init(path: String) throws(Unusable) {
        guard let data = FileManager.default.contents(atPath: path), let text = String(data: data, encoding: .utf8) else {
            throw Unusable(reason: "the file of the token cannot be read")
        }
        try self.init(text)
    }

    private static func decoded(_ part: Substring) -> Data? {
        let base64 = part.replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: base64 + String(repeating: "=", count: (4 - base64.count % 4) % 4))
    }

    /// Gives the library a token, or the reason why there is none; it asks again before the token expires, or after a while.
    static func refresh(_ client: OpaquePointer, from path: String) {
        var sentence = [CChar](repeating: 0, count: 512)
        do throws(Unusable) {
            let token = try KafkaToken(path: path)
            let error = rd_kafka_oauthbearer_set_token(
                client, token.text, token.expiresAt, token.principal, nil, 0, &sentence, sentence.count)
            // The library's own sentence may repeat the token.
            if error.isError { rd_kafka_oauthbearer_set_token_failure(client, "the token was not accepted: it may have expired") }
        } catch {
            rd_kafka_oauthbearer_set_token_failure(client, error.reason)
        }
    }
}
