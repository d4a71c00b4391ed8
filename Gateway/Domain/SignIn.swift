import Crypto
import Foundation
import NIOCore

/// Which account somebody wants to sign in to, by JSON or a form. Only a digest of it is ever kept.
enum SignIn {
    private struct Account: Decodable { let email: String }

    /// Names the account and the address together.
    static func subject(of body: ByteBuffer, address: String) -> String {
        let data = Data(body.readableBytesView)
        let account = (try? JSONDecoder().decode(Account.self, from: data))?.email ?? formField("email", in: data) ?? ""
        let normal = account.trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
        let digest = SHA256.hash(data: Data("\(normal)\u{0}\(address)".utf8))
        return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private static func formField(_ name: String, in data: Data) -> String? {
        for pair in String(decoding: data, as: UTF8.self).split(separator: "&") where pair.hasPrefix(name + "=") {
            return pair.dropFirst(name.count + 1).replacingOccurrences(of: "+", with: " ").removingPercentEncoding
        }
        return nil
    }
}
