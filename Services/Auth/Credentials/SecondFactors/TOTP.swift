import Crypto
import Foundation

/// Time-based one-time passwords (RFC 6238 over RFC 4226), as authenticator apps make them: SHA-1, six digits, 30 seconds.
enum TOTP {
    static let period = 30
    static let digits = 6
    /// Steps before and after the present one whose codes are taken: a clock may be wrong by that much (RFC 6238, section 5.2).
    static let drift = 1
    /// RFC 4226, section 4 recommends 160 bits.
    static let keyBytes = 20

    static func makeKey() -> Data { SymmetricKey(size: .init(bitCount: keyBytes * 8)).withUnsafeBytes { Data($0) } }

    static func step(at time: Date) -> Int { Int((time.timeIntervalSince1970 / Double(period)).rounded(.down)) }

    /// The code of one step.
    static func code(key: Data, step: Int, digits: Int = digits) -> String {
        let counter = withUnsafeBytes(of: UInt64(bitPattern: Int64(step)).bigEndian) { Data($0) }
        // SHA-1 here is what the apps implement; HMAC does not rest on what is broken about it.
        let hash = Array(HMAC<Insecure.SHA1>.authenticationCode(for: counter, using: SymmetricKey(data: key)))
        let offset = Int(hash[hash.count - 1] & 0x0F)
        let number = hash[offset..<offset + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
        var text = String(number % (0..<digits).reduce(1) { value, _ in value * 10 })
        while text.count < digits { text = "0" + text }
        return text
    }

    /// The step whose code this is, of those near `time` and after `last`. Takes the same time whichever matches.
    static func match(_ code: String, key: Data, at time: Date, after last: Int?) -> Int? {
        let presented = Data(code.utf8), now = step(at: time)
        var found: Int?
        for step in (now - drift)...(now + drift) {
            let matches = HMAC<SHA256>.isEqual(Data(Self.code(key: key, step: step).utf8), presented)
            if matches, step > last ?? .min { found = step }
        }
        return found
    }

    /// What a QR code for authenticator apps says (the Key URI format of Google Authenticator).
    static func uri(key: Data, issuer: String, account: String) -> String {
        func escaped(_ text: String) -> String {
            let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@")
            return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
        }
        return "otpauth://totp/\(escaped(issuer)):\(escaped(account))?secret=\(Base32.encode(key))&issuer=\(escaped(issuer))"
            + "&algorithm=SHA1&digits=\(digits)&period=\(period)"
    }
}

extension HMAC<SHA256> {
    /// Compares in a time that does not depend on where two texts differ, by comparing their digests under a key nobody knows.
    fileprivate static func isEqual(_ left: Data, _ right: Data) -> Bool {
        let key = SymmetricKey(size: .bits256)
        return authenticationCode(for: left, using: key) == authenticationCode(for: right, using: key)
    }
}

/// Base32 (RFC 4648, section 6), without padding: how authenticator apps are told a key.
enum Base32 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    static func encode(_ data: Data) -> String {
        var text: [UInt8] = []
        var held: UInt32 = 0
        var bits = 0
        for byte in data {
            held = held << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[Int(held >> UInt32(bits)) & 31])
            }
            held &= 0xFF
        }
        if bits > 0 { text.append(alphabet[Int(held << UInt32(5 - bits)) & 31]) }
        return String(decoding: text, as: UTF8.self)
    }
}
