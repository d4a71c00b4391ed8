import AuthService
import ServiceKit

@main
struct Main {
    static func main() async { await Launch.run(Auth.self) }
}
