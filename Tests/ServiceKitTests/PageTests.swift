import ServiceKit
import Testing

@Suite("Pages")
struct PageTests {
    @Test("No sign of HTML gets through, whatever letter stands before it")
    func escaping() {
        // These join what follows into one Character (UAX 29, GB9b).
        for joining in ["", "\u{600}", "\u{605}", "\u{6DD}", "\u{70F}", "\u{110BD}"] {
            for sign in ["<", ">", "\"", "'", "&"] {
                let escaped = HTMLPage.escape("a\(joining)\(sign)b")
                #expect(escaped.hasPrefix("a\(joining)&") && escaped.hasSuffix(";b"), "\(escaped.unicodeScalars.map(\.value))")
            }
        }
        #expect(HTMLPage.escape("Zoë & <Søn>") == "Zoë &amp; &lt;Søn&gt;")
    }
}
