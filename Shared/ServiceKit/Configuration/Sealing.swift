import Crypto
package import Foundation

/// Encrypts what is kept and must be read back (AES-256-GCM), under a key that is not in the database.
///
/// A sealed value says which key it was sealed with, so that keys can be changed: put the new one first, keep the old ones behind.
package struct Sealing: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The value was changed, moved to another place, or sealed with a key that is no longer set.
    package struct CannotOpen: Error {}

    static let keyBytes = 32
    /// The form of a sealed value: one byte for the version, eight for the key, then nonce, ciphertext and tag.
    private static let version: UInt8 = 1
    private static let nameBytes = 8

    private let keys: [(name: Data, key: SymmetricKey)]

    /// Nil unless the text is one base64 of 32 bytes, or several, comma-separated.
    package init?(keys text: String) {
        var keys: [(Data, SymmetricKey)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let bytes = Data(base64Encoded: part.trimmingCharacters(in: .whitespacesAndNewlines)), bytes.count == Self.keyBytes
            else { return nil }
            keys.append(
                (Data(SHA256.hash(data: Data("trionex sealing key ".utf8) + bytes).prefix(Self.nameBytes)), SymmetricKey(data: bytes)))
        }
        guard !keys.isEmpty else { return nil }
        self.keys = keys
    }

    /// Whoever prints what holds one prints no key.
    package var description: String { "sealing" }
    package var debugDescription: String { description }

    /// - Parameter context: what the value is and whose, such as `totp <id>`; a value opens in its own place only.
    package func seal(_ plain: Data, context: String) throws -> Data {
        let (name, key) = keys[0]
        guard let sealed = try AES.GCM.seal(plain, using: key, authenticating: Data(context.utf8)).combined else { throw CannotOpen() }
        return Data([Self.version]) + name + sealed
    }

    /// Throws `CannotOpen`.
    package func open(_ sealed: Data, context: String) throws -> Data {
        let sealed = Data(sealed)
        guard sealed.count > 1 + Self.nameBytes, sealed[0] == Self.version,
            let key = keys.first(where: { $0.name == sealed[1..<(1 + Self.nameBytes)] })?.key,
            let box = try? AES.GCM.SealedBox(combined: sealed.dropFirst(1 + Self.nameBytes)),
            let plain = try? AES.GCM.open(box, using: key, authenticating: Data(context.utf8))
        else { throw CannotOpen() }
        return plain
    }

    /// A keyed digest (HMAC-SHA-256) for what is looked up or compared but too short to be hashed plainly, such as a code of six digits.
    package func digest(_ text: String, context: String) -> Data {
        let derived = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: keys[0].key, info: Data("trionex digest \(context)".utf8), outputByteCount: Self.keyBytes)
        return Data(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: derived))
    }
}
